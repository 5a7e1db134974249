// x of a matmul as rows [m, k], in vec4s: k is a multiple of 4, so that every row starts on a vec4.
// #import "matmul/operands/x_whole.wgsl"

@group(0) @binding(0) var<storage, read> x: array<vec4<Scalar>>;

// Four k of one row of x; past the edge of the last one, and what it makes is never stored.
fn x_at(row: u32, chunk: u32) -> vec4f {
  return vec4f(x[x_start(min(row, params.m - 1), params.k) / 4 + chunk]);
}

// Four k of each of four.
fn x_block(row: u32, chunk: u32) -> mat4x4f {
  return mat4x4f(x_at(row, chunk), x_at(row + 1, chunk), x_at(row + 2, chunk), x_at(row + 3, chunk));
}
