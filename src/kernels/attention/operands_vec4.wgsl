// q, k and v of attention in vec4s: dimensions, strides and offsets are multiples of 4.

alias Scalar = f32;
alias Vec4 = vec4<Scalar>;
const WIDTH = 4; // elements of what q, k and v are arrays of

@group(0) @binding(0) var<storage, read> q: array<Vec4>;
@group(0) @binding(1) var<storage, read> k: array<Vec4>;
@group(0) @binding(2) var<storage, read> v: array<Vec4>;

// Elements 4 * four to 4 * four + 3 of the head whose row begins at element `row` * WIDTH.
fn q_at(row: u32, four: u32) -> vec4f {
  return vec4f(q[row + four]);
}

fn k_at(row: u32, four: u32) -> vec4f {
  return vec4f(k[row + four]);
}

fn v_at(row: u32, four: u32) -> vec4f {
  return vec4f(v[row + four]);
}
