// x and weight of a matmul one scalar at a time: any k. The last chunk of a row is filled up with zeros.

alias Scalar = f32;

@group(0) @binding(0) var<storage, read> x: array<Scalar>; // [m, k]
@group(0) @binding(1) var<storage, read> weight: array<Scalar>; // [n, k]

fn x_at(row: u32, chunk: u32) -> vec4f {
  let i = row * params.k + 4u * chunk;
  return within_row(chunk, vec4f(f32(x[i]), f32(x[i + 1u]), f32(x[i + 2u]), f32(x[i + 3u])));
}

fn weight_at(row: u32, chunk: u32) -> vec4f {
  let i = row * params.k + 4u * chunk;
  return within_row(chunk, vec4f(f32(weight[i]), f32(weight[i + 1u]), f32(weight[i + 2u]), f32(weight[i + 3u])));
}

// Both operands are cut off: zero times the next row's infinity would be NaN.
fn within_row(chunk: u32, values: vec4f) -> vec4f {
  return select(vec4f(0.0), values, 4u * chunk + vec4u(0u, 1u, 2u, 3u) < vec4u(params.k));
}
