// x of a matmul as rows [m, k], one scalar at a time: any k. The last chunk of a row is filled up with zeros.
// #import "matmul/operands/within_row.wgsl"

@group(0) @binding(0) var<storage, read> x: array<Scalar>;

fn x_part(row: u32, part: u32, chunk: u32) -> vec4f {
  let i = min(row + part, params.m - 1) * params.k + 4 * chunk;
  return within_row(chunk, vec4f(f32(x[i]), f32(x[i + 1]), f32(x[i + 2]), f32(x[i + 3])));
}

fn x_turned(parts: mat4x4f) -> mat4x4f { return parts; }
