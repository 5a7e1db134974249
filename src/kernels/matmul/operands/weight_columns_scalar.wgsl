// weight of a matmul as [k, n], one scalar at a time, any n. Past k it is zero.

@group(0) @binding(1) var<storage, read> weight: array<Scalar>;

// Past the edge of n what lies there, never stored.
fn weight_part(col: u32, part: u32, chunk: u32) -> vec4f {
  let k = 4 * chunk + part;
  let i = k * params.n + col;
  let values = vec4f(f32(weight[i]), f32(weight[i + 1]), f32(weight[i + 2]), f32(weight[i + 3]));
  return select(vec4f(), values, k < params.k);
}

fn weight_turned(parts: mat4x4f) -> mat4x4f { return transpose(parts); }
