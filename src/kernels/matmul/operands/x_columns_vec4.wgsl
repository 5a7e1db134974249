// x of a matmul, as it is multiplied transposed: [k, m], in vec4s, m a multiple of 4. Past k it is zero.
// #import "matmul/operands/x_range.wgsl"

@group(0) @binding(0) var<storage, read> x: array<vec4<Scalar>>;

// Four rows of x^T at one k; past the edge whatever lies there, and what it makes is never stored.
fn x_at(row: u32, k: u32) -> vec4f {
  return select(vec4f(), vec4f(x[(x_start(k, params.m) + row) / 4]), k < params.k);
}

// Four k of each of the four.
fn x_block(row: u32, chunk: u32) -> mat4x4f {
  let k = 4 * chunk;
  return transpose(mat4x4f(x_at(row, k), x_at(row, k + 1), x_at(row, k + 2), x_at(row, k + 3)));
}
