// weight of a matmul, as it is multiplied: [k, n], in vec4s, n a multiple of 4. Past k it is zero.

@group(0) @binding(1) var<storage, read> weight: array<vec4<Scalar>>;

// Four columns of the output at one k; past the edge whatever lies there, and what it makes is never stored.
fn weight_at(col: u32, k: u32) -> vec4f {
  return select(vec4f(), vec4f(weight[k * (params.n / 4) + col / 4]), k < params.k);
}

// Four k of each of the four.
fn weight_block(col: u32, chunk: u32) -> mat4x4f {
  let k = 4 * chunk;
  return transpose(mat4x4f(weight_at(col, k), weight_at(col, k + 1), weight_at(col, k + 2), weight_at(col, k + 3)));
}
