// The operands of attention's gradients in vec4s: dimensions, strides and offsets are multiples of 4.

alias Scalar = f32;
alias Vec4 = vec4<Scalar>;

@group(0) @binding(0) var<storage, read> qkv: array<Vec4>;
@group(0) @binding(1) var<storage, read> d_out: array<Vec4>;

// Four elements from `at`, a multiple of 4, of the head whose row begins at element `row`.
fn qkv_at(row: u32, at: u32) -> vec4f {
  return vec4f(qkv[(row + at) / 4]);
}

fn d_out_at(row: u32, at: u32) -> vec4f {
  return vec4f(d_out[(row + at) / 4]);
}

// The same of four rows.
fn qkv_fours(rows: vec4u, at: u32) -> mat4x4f {
  return mat4x4f(qkv_at(rows.x, at), qkv_at(rows.y, at), qkv_at(rows.z, at), qkv_at(rows.w, at));
}

fn d_out_fours(rows: vec4u, at: u32) -> mat4x4f {
  return mat4x4f(d_out_at(rows.x, at), d_out_at(rows.y, at), d_out_at(rows.z, at), d_out_at(rows.w, at));
}
