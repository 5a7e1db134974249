// x and weight of a matmul in vec4s: k is a multiple of 4, so that every row starts on a vec4.

alias Scalar = f32;
alias Vec4 = vec4<Scalar>;

@group(0) @binding(0) var<storage, read> x: array<Vec4>; // [m, k / 4]
@group(0) @binding(1) var<storage, read> weight: array<Vec4>; // [n, k / 4]

fn x_at(row: u32, chunk: u32) -> vec4f {
  return vec4f(x[row * (params.k / 4u) + chunk]);
}

fn weight_at(row: u32, chunk: u32) -> vec4f {
  return vec4f(weight[row * (params.k / 4u) + chunk]);
}
