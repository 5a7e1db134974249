// x of a matmul as rows [m, k], one scalar at a time: any k. The last chunk of a row is filled up with zeros.
// #import "matmul/operands/within_row.wgsl"
// #import "matmul/operands/x_whole.wgsl"

@group(0) @binding(0) var<storage, read> x: array<Scalar>;

// Four k of one row of x; past the edge of the last one, and what it makes is never stored.
fn x_at(row: u32, chunk: u32) -> vec4f {
  let i = x_start(min(row, params.m - 1), params.k) + 4 * chunk;
  return within_row(chunk, vec4f(f32(x[i]), f32(x[i + 1]), f32(x[i + 2]), f32(x[i + 3])));
}

// Four k of each of four.
fn x_block(row: u32, chunk: u32) -> mat4x4f {
  return mat4x4f(x_at(row, chunk), x_at(row + 1, chunk), x_at(row + 2, chunk), x_at(row + 3, chunk));
}
