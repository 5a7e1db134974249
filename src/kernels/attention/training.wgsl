// Params of attention, and what it does for training: it leaves out some probabilities, and keeps logarithms of sums.
// #import "attention/dropped.wgsl"

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
  seed: u32, // of dropout, as the three that follow
  tensor: u32,
  step: u32,
  threshold: u32, // p * 2^32: a probability is kept whose number is no less
  keep_scale: f32, // 1 / (1 - p)
}

// [tokens, heads]: log(sum(exp(q k^T * scale))) of what the query sees; 0 where that is nothing
@group(0) @binding(8) var<storage, read_write> lse: array<f32>;

fn drop_some(weights: vec4f, row: u32, key: u32, head: u32) -> vec4f {
  if (!DROPS) { return weights; }
  return dropped(weights, keeps(row, key, head));
}

// Of the greatest score times log2(e), and the sum of the exponentials relative to it.
fn keep_lse(at: u32, best: f32, total: f32) {
  lse[at] = select((best + log2(total)) * 0.6931471805599453, 0.0, total == 0.0);
}
