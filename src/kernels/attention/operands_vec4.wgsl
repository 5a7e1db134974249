// q, k and v of attention in vec4s: dimensions, strides and offsets are multiples of 4.

alias Scalar = f32;
alias Vec4 = vec4<Scalar>;

@group(0) @binding(0) var<storage, read> q: array<Vec4>;
@group(0) @binding(1) var<storage, read> k: array<Vec4>;
@group(0) @binding(2) var<storage, read> v: array<Vec4>;

// Four elements from `at`, a multiple of 4, of the head whose row begins at element `row`.
fn q_at(row: u32, at: u32) -> vec4f {
  return vec4f(q[(row + at) / 4]);
}

fn k_at(row: u32, at: u32) -> vec4f {
  return vec4f(k[(row + at) / 4]);
}

fn v_at(row: u32, at: u32) -> vec4f {
  return vec4f(v[(row + at) / 4]);
}
