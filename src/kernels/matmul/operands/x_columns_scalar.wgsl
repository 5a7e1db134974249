// x of a matmul as it is multiplied transposed: [k, m], one scalar at a time, any m. Past k it is zero.

@group(0) @binding(0) var<storage, read> x: array<Scalar>;

// Past the edge of m what lies there, which makes nothing that is stored.
fn x_part(row: u32, part: u32, chunk: u32) -> vec4f {
  let k = 4 * chunk + part;
  let i = k * params.m + row;
  return select(vec4f(), vec4f(f32(x[i]), f32(x[i + 1]), f32(x[i + 2]), f32(x[i + 3])), k < params.k);
}

fn x_turned(parts: mat4x4f) -> mat4x4f { return transpose(parts); }
