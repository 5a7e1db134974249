// weight of a matmul as rows [n, k], in vec4s: k is a multiple of 4, so that every row starts on a vec4.

@group(0) @binding(1) var<storage, read> weight: array<vec4<Scalar>>;

// Four k of one column of the output; past the edge of the last one, and what it makes is never stored.
fn weight_at(col: u32, chunk: u32) -> vec4f {
  return vec4f(weight[min(col, params.n - 1) * (params.k / 4) + chunk]);
}

// Four k of each of four.
fn weight_block(col: u32, chunk: u32) -> mat4x4f {
  return mat4x4f(
    weight_at(col, chunk), weight_at(col + 1, chunk), weight_at(col + 2, chunk), weight_at(col + 3, chunk),
  );
}
