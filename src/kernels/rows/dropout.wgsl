// out = dropout(x) + residual: an element is kept with probability 1 - p and then divided by that, else 0. What is kept
// follows from seed, step, tensor and element alone: a backward pass calls this on the gradient, with the same numbers.
//   x         [count]
//   residual  [count]   read if HAS_RESIDUAL
//   out       [count]
// One thread owns 4 consecutive elements, which share one draw of four numbers.
// #import "shared/philox.wgsl"

alias Scalar = f32;
const WORKGROUP_SIZE = 64;
const HAS_RESIDUAL = false;

struct Params {
  count: u32,
  tensor: u32,
  step: u32,
  seed: u32,
  threshold: u32, // p * 2^32: an element is kept whose number is no less
  scale: f32, // 1 / (1 - p), times what all is to be multiplied by
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Scalar>>;
@group(0) @binding(1) var<storage, read> residual: array<vec4<Scalar>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<Scalar>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP_SIZE + thread;
  if (i >= (params.count + 3) / 4) { return; } // a buffer has whole fours
  let drawn = philox(vec4u(i, params.tensor, params.step, 0), vec2u(params.seed, 0));
  var y = select(vec4f(), vec4f(x[i]) * params.scale, drawn >= vec4u(params.threshold));
  if (HAS_RESIDUAL) { y += vec4f(residual[i]); }
  out[i] = vec4<Scalar>(y);
}
