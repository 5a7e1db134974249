// Which probabilities dropout keeps: the forward pass and both gradients draw the same.
// #import "shared/philox.wgsl"

const DROPS = false;

// Of four keys, from a multiple of four counted in the sequence, and the query of row `row`. The counter is (key / 4,
// row, tensor, step), the key (seed, head + 1): no two probabilities share a number, nor does one with an element that
// another kernel drops, whose key ends in 0.
fn keeps(row: u32, key: u32, head: u32) -> vec4<bool> {
  let drawn = philox(vec4u(key / 4, row, params.tensor, params.step), vec2u(params.seed, head + 1));
  return drawn >= vec4u(params.threshold);
}

fn dropped(values: vec4f, kept: vec4<bool>) -> vec4f {
  return select(vec4f(), values * params.keep_scale, kept);
}
