// Params of attention, and what it does for training: nothing.

struct Params {
  tiles: u32, // of queries, over all sequences
  slices: u32, // of columns of v
  sequences: u32,
  heads: u32,
  head_dim: u32,
  value_dim: u32,
  q_stride: u32,
  k_stride: u32,
  v_stride: u32,
  q_offset: u32,
  k_offset: u32,
  v_offset: u32,
  scale: f32,
}

fn drop_some(weights: vec4f, row: u32, key: u32, head: u32) -> vec4f {
  return weights;
}

fn keep_lse(at: u32, best: f32, total: f32) {}
