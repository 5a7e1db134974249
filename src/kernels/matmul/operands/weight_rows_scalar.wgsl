// weight of a matmul as rows [n, k], one scalar at a time: any k. The last chunk of a row is filled up with zeros.
// #import "matmul/operands/within_row.wgsl"

@group(0) @binding(1) var<storage, read> weight: array<Scalar>;

// Four k of one column of the output; past the edge of the last one, and what it makes is never stored.
fn weight_at(col: u32, chunk: u32) -> vec4f {
  let i = min(col, params.n - 1) * params.k + 4 * chunk;
  return within_row(chunk, vec4f(f32(weight[i]), f32(weight[i + 1]), f32(weight[i + 2]), f32(weight[i + 3])));
}

// Four k of each of four.
fn weight_block(col: u32, chunk: u32) -> mat4x4f {
  return mat4x4f(
    weight_at(col, chunk), weight_at(col + 1, chunk), weight_at(col + 2, chunk), weight_at(col + 3, chunk),
  );
}
