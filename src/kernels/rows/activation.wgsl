// out = activation(x + bias), element by element.
//   x     [rows, cols]
//   bias  [cols]         read if HAS_BIAS
//   out   [rows, cols]
// One thread owns 4 consecutive elements, one workgroup 4 * WORKGROUP_SIZE. Computes in f32.
// #import "shared/activation.wgsl"

alias Scalar = f32;
const WORKGROUP_SIZE = 64;
const HAS_BIAS = false;

struct Params {
  count: u32, // rows * cols
  cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Scalar>;
@group(0) @binding(1) var<storage, read> bias: array<Scalar>;
@group(0) @binding(2) var<storage, read_write> out: array<Scalar>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let start = ((group.y * groups.x + group.x) * WORKGROUP_SIZE + lane) * 4;
  if (start >= params.count) { return; }
  let i = start + min(vec4u(0, 1, 2, 3), vec4u(params.count - 1 - start));
  var y = vec4f(f32(x[i.x]), f32(x[i.y]), f32(x[i.z]), f32(x[i.w]));
  if (HAS_BIAS) {
    let c = i % params.cols;
    y += vec4f(f32(bias[c.x]), f32(bias[c.y]), f32(bias[c.z]), f32(bias[c.w]));
  }
  y = activate(y);
  for (var j = 0u; j < min(4u, params.count - start); j++) { out[start + j] = Scalar(y[j]); }
}
