// x of a matmul as rows [m, k], in vec4s: k is a multiple of 4, so that every row starts on a vec4.

@group(0) @binding(0) var<storage, read> x: array<vec4<Scalar>>;

// Of four rows from `row` on, row `part`: four k. Past the edge the last row, which makes nothing that is stored.
fn x_part(row: u32, part: u32, chunk: u32) -> vec4f {
  return vec4f(x[min(row + part, params.m - 1) * (params.k / 4) + chunk]);
}

// The four k of each row, of its four parts.
fn x_turned(parts: mat4x4f) -> mat4x4f { return parts; }
