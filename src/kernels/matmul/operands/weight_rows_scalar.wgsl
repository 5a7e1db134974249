// weight of a matmul as rows [n, k], one scalar at a time: any k. The last chunk of a row is filled up with zeros.
// #import "matmul/operands/within_row.wgsl"

@group(0) @binding(1) var<storage, read> weight: array<Scalar>;

fn weight_part(col: u32, part: u32, chunk: u32) -> vec4f {
  let i = min(col + part, params.n - 1) * params.k + 4 * chunk;
  return within_row(chunk, vec4f(f32(weight[i]), f32(weight[i + 1]), f32(weight[i + 2]), f32(weight[i + 3])));
}

fn weight_turned(parts: mat4x4f) -> mat4x4f { return parts; }
