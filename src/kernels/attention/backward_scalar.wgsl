// The operands of attention's gradients one scalar at a time: any dimension. Past the end of a head they read as zeros.

alias Scalar = f32;

@group(0) @binding(0) var<storage, read> qkv: array<Scalar>;
@group(0) @binding(1) var<storage, read> d_out: array<Scalar>;

// Four elements from `at` of the head whose row begins at element `row`.
fn qkv_at(row: u32, at: u32) -> vec4f {
  let i = row + at;
  return within(at, vec4f(f32(qkv[i]), f32(qkv[i + 1]), f32(qkv[i + 2]), f32(qkv[i + 3])));
}

fn d_out_at(row: u32, at: u32) -> vec4f {
  let i = row + at;
  return within(at, vec4f(f32(d_out[i]), f32(d_out[i + 1]), f32(d_out[i + 2]), f32(d_out[i + 3])));
}

// The same of four rows.
fn qkv_fours(rows: vec4u, at: u32) -> mat4x4f {
  return mat4x4f(qkv_at(rows.x, at), qkv_at(rows.y, at), qkv_at(rows.z, at), qkv_at(rows.w, at));
}

fn d_out_fours(rows: vec4u, at: u32) -> mat4x4f {
  return mat4x4f(d_out_at(rows.x, at), d_out_at(rows.y, at), d_out_at(rows.z, at), d_out_at(rows.w, at));
}

fn within(at: u32, values: vec4f) -> vec4f {
  return select(vec4f(), values, at + vec4u(0, 1, 2, 3) < vec4u(params.head_dim));
}
