// q, k and v of attention one scalar at a time: any dimension. Past the end of a head they read as zeros.

alias Scalar = f32;

@group(0) @binding(0) var<storage, read> q: array<Scalar>;
@group(0) @binding(1) var<storage, read> k: array<Scalar>;
@group(0) @binding(2) var<storage, read> v: array<Scalar>;

// Four elements from `at` of the head whose row begins at element `row`.
fn q_at(row: u32, at: u32) -> vec4f {
  let i = row + at;
  return within(params.head_dim, at, vec4f(f32(q[i]), f32(q[i + 1]), f32(q[i + 2]), f32(q[i + 3])));
}

fn k_at(row: u32, at: u32) -> vec4f {
  let i = row + at;
  return within(params.head_dim, at, vec4f(f32(k[i]), f32(k[i + 1]), f32(k[i + 2]), f32(k[i + 3])));
}

fn v_at(row: u32, at: u32) -> vec4f {
  let i = row + at;
  return within(params.value_dim, at, vec4f(f32(v[i]), f32(v[i + 1]), f32(v[i + 2]), f32(v[i + 3])));
}

fn within(count: u32, at: u32, values: vec4f) -> vec4f {
  return select(vec4f(), values, at + vec4u(0, 1, 2, 3) < vec4u(count));
}
