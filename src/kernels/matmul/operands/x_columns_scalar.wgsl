// x of a matmul, as it is multiplied transposed: [k, m], one scalar at a time, any m. Past k it is zero.
// #import "matmul/operands/x_range.wgsl"

@group(0) @binding(0) var<storage, read> x: array<Scalar>;

// Four rows of x^T at one k; past the edge whatever lies there, and what it makes is never stored.
fn x_at(row: u32, k: u32) -> vec4f {
  let i = x_start(k, params.m) + row;
  return select(vec4f(), vec4f(f32(x[i]), f32(x[i + 1]), f32(x[i + 2]), f32(x[i + 3])), k < params.k);
}

// Four k of each of the four.
fn x_block(row: u32, chunk: u32) -> mat4x4f {
  let k = 4 * chunk;
  return transpose(mat4x4f(x_at(row, k), x_at(row, k + 1), x_at(row, k + 2), x_at(row, k + 3)));
}
