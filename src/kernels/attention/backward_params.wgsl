// Params of attention's gradients.

struct Params {
  tiles: u32, // of 16 rows, over all sequences
  slices: u32, // of columns
  sequences: u32,
  heads: u32,
  head_dim: u32,
  stride: u32, // of qkv and of its gradient
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
