// weight of a matmul as [k, n], in vec4s, n a multiple of 4. Past k it is zero.

@group(0) @binding(1) var<storage, read> weight: array<vec4<Scalar>>;

// Of four k, number `part`: four columns of the output from `col` on.
fn weight_part(col: u32, part: u32, chunk: u32) -> vec4f {
  let k = 4 * chunk + part;
  return select(vec4f(), vec4f(weight[k * (params.n / 4) + min(col, params.n - 4) / 4]), k < params.k);
}

fn weight_turned(parts: mat4x4f) -> mat4x4f { return transpose(parts); }
