// weight of a matmul as rows [n, k], in vec4s: k is a multiple of 4, so that every row starts on a vec4.

@group(0) @binding(1) var<storage, read> weight: array<vec4<Scalar>>;

// Of four columns of the output from `col` on, column `part`: four k. Past the edge the last one, never stored.
fn weight_part(col: u32, part: u32, chunk: u32) -> vec4f {
  return vec4f(weight[min(col + part, params.n - 1) * (params.k / 4) + chunk]);
}

// The four k of each column, of its four parts.
fn weight_turned(parts: mat4x4f) -> mat4x4f { return parts; }
