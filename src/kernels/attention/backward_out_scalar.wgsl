// What attention gave, one scalar at a time.

@group(0) @binding(2) var<storage, read> out: array<Scalar>;

fn out_at(row: u32, at: u32) -> vec4f {
  let i = row + at;
  return within(at, vec4f(f32(out[i]), f32(out[i + 1]), f32(out[i + 2]), f32(out[i + 3])));
}
