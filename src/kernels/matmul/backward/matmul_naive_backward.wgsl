// out = x weight + residual, or out += x weight, as the formula stands: for the gradients of a Linear layer.
//   x         [m, k], or [k, m] if X_COLUMNS: then it is x^T that is multiplied
//   weight    [k, n]
//   residual  [m, n]   read if HAS_RESIDUAL
//   out       element [i, j] at i * out_stride + out_offset + j; in f32, and added to, if ACCUMULATE
// One thread owns one output, one workgroup 8 x 8 of them. Accumulates in f32.
// #import "matmul/operands/x_range.wgsl"
// #import "matmul/store_gradient.wgsl"

alias Scalar = f32;
const X_COLUMNS = false;
const HAS_RESIDUAL = false;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  out_stride: u32,
  out_offset: u32,
  activated: u32, // never
}

@group(0) @binding(0) var<storage, read> x: array<Scalar>;
@group(0) @binding(1) var<storage, read> weight: array<Scalar>;
@group(0) @binding(2) var<storage, read> bias: array<Scalar>; // never read
@group(0) @binding(3) var<storage, read> residual: array<Scalar>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(8, 8)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
) {
  let tile = group.y * groups.x + group.x;
  let tiles_across = (params.n + 7) / 8;
  let row = tile / tiles_across * 8 + lane.y;
  let col = tile % tiles_across * 8 + lane.x;
  if (row >= params.m || col >= params.n) { return; }

  var sum = 0.0;
  for (var k = 0u; k < params.k; k++) {
    let i = select(x_start(row, params.k) + k, x_start(k, params.m) + row, X_COLUMNS);
    sum += f32(x[i]) * f32(weight[k * params.n + col]);
  }
  put(row, col, sum);
}
