// q, k and v of attention one scalar at a time: any dimension. Past the end of a head they read as zeros.

alias Scalar = f32;
const WIDTH = 1; // elements of what q, k and v are arrays of

@group(0) @binding(0) var<storage, read> q: array<Scalar>;
@group(0) @binding(1) var<storage, read> k: array<Scalar>;
@group(0) @binding(2) var<storage, read> v: array<Scalar>;

// Elements 4 * four to 4 * four + 3 of the head whose row begins at element `row` * WIDTH.
fn q_at(row: u32, four: u32) -> vec4f {
  let i = row + four * 4;
  return within(params.head_dim, four, vec4f(f32(q[i]), f32(q[i + 1]), f32(q[i + 2]), f32(q[i + 3])));
}

fn k_at(row: u32, four: u32) -> vec4f {
  let i = row + four * 4;
  return within(params.head_dim, four, vec4f(f32(k[i]), f32(k[i + 1]), f32(k[i + 2]), f32(k[i + 3])));
}

fn v_at(row: u32, four: u32) -> vec4f {
  let i = row + four * 4;
  return within(params.value_dim, four, vec4f(f32(v[i]), f32(v[i + 1]), f32(v[i + 2]), f32(v[i + 3])));
}

fn within(count: u32, four: u32, values: vec4f) -> vec4f {
  return select(vec4f(), values, four * 4 + vec4u(0, 1, 2, 3) < vec4u(count));
}
