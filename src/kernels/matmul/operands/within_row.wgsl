// Zeros in place of what a chunk of four k has past the row's end. For both operands: zero times the next row's
// infinity would be NaN.

fn within_row(chunk: u32, values: vec4f) -> vec4f {
  return select(vec4f(), values, 4 * chunk + vec4u(0, 1, 2, 3) < vec4u(params.k));
}
