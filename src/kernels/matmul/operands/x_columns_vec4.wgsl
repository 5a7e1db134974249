// x of a matmul as it is multiplied transposed: [k, m], in vec4s, m a multiple of 4. Past k it is zero.

@group(0) @binding(0) var<storage, read> x: array<vec4<Scalar>>;

// Of four k, number `part`: four rows from `row` on.
fn x_part(row: u32, part: u32, chunk: u32) -> vec4f {
  let k = 4 * chunk + part;
  return select(vec4f(), vec4f(x[k * (params.m / 4) + min(row, params.m - 4) / 4]), k < params.k);
}

fn x_turned(parts: mat4x4f) -> mat4x4f { return transpose(parts); }
