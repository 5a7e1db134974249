// out = activation(x weight^T + bias) + residual, written as the formula: the baseline that matmul.wgsl is measured
// by.
//   x         [m, k]
//   weight    [n, k]   as Hugging Face stores a Linear layer: one row per output
//   bias      [n]      read if HAS_BIAS
//   residual  [m, n]   read if HAS_RESIDUAL
//   out       element [i, j] at i * out_stride + out_offset + j
// One thread owns one output, one workgroup 8 x 8 of them. Accumulates in f32.
// #import "shared/activation.wgsl"

alias Scalar = f32;
const HAS_BIAS = false;
const HAS_RESIDUAL = false;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  out_stride: u32,
  out_offset: u32,
  activated: u32, // whether ACTIVATION applies
}

@group(0) @binding(0) var<storage, read> x: array<Scalar>;
@group(0) @binding(1) var<storage, read> weight: array<Scalar>;
@group(0) @binding(2) var<storage, read> bias: array<Scalar>;
@group(0) @binding(3) var<storage, read> residual: array<Scalar>;
@group(0) @binding(4) var<storage, read_write> out: array<Scalar>;
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
    sum += f32(x[row * params.k + k]) * f32(weight[col * params.k + k]);
  }
  if (HAS_BIAS) { sum += f32(bias[col]); }
  var y = sum;
  if (params.activated != 0) { y = activate(vec4f(sum)).x; }
  if (HAS_RESIDUAL) { y += f32(residual[row * params.n + col]); }
  out[row * params.out_stride + params.out_offset + col] = Scalar(y);
}
