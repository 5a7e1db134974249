// weight of a matmul, as it is multiplied: [k, n], one scalar at a time, any n. Past k it is zero.

@group(0) @binding(1) var<storage, read> weight: array<Scalar>;

// Four columns of the output at one k; past the edge whatever lies there, and what it makes is never stored.
fn weight_at(col: u32, k: u32) -> vec4f {
  let i = k * params.n + col;
  let values = vec4f(f32(weight[i]), f32(weight[i + 1]), f32(weight[i + 2]), f32(weight[i + 3]));
  return select(vec4f(), values, k < params.k);
}

// Four k of each of the four.
fn weight_block(col: u32, chunk: u32) -> mat4x4f {
  let k = 4 * chunk;
  return transpose(mat4x4f(weight_at(col, k), weight_at(col, k + 1), weight_at(col, k + 2), weight_at(col, k + 3)));
}
