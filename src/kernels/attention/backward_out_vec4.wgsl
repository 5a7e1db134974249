// What attention gave, in vec4s.

@group(0) @binding(2) var<storage, read> out: array<Vec4>;

fn out_at(row: u32, at: u32) -> vec4f {
  return vec4f(out[(row + at) / 4]);
}
