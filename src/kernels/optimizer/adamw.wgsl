// One step of AdamW (Loshchilov and Hutter 2019) on a flat buffer of weights, as torch.optim.AdamW takes it.
//   weights    [count]  p = p * (1 - rate * decay) - rate * m' / (sqrt(v') + eps), m' and v' with bias correction
//   gradients  [count]  times state.factor; set to 0
//   m, v       [count]  m = beta1 * m + (1 - beta1) * g, v = beta2 * v + (1 - beta2) * g^2
//   state      State of optimizer_step.wgsl; where the gradient is not finite, only gradients are written
//   copies     [count]  the weights in f16   if HAS_COPIES
// All are f32 and count is a multiple of 4. One thread owns four elements.
// #import "optimizer/state.wgsl"

alias Copy = f32; // f16 if HAS_COPIES
const WORKGROUP_SIZE = 64;
const HAS_COPIES = false;

struct Params {
  count: u32,
  beta1: f32,
  beta2: f32,
  rest1: f32, // 1 - beta1, and not of the rounded one
  rest2: f32,
  eps: f32,
  decay: f32,
}

@group(0) @binding(0) var<storage, read_write> weights: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> gradients: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> state: State;
@group(0) @binding(5) var<storage, read_write> copies: array<vec4<Copy>>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP_SIZE + thread;
  if (i >= params.count / 4) { return; }
  let g = gradients[i] * state.factor;
  gradients[i] = vec4f();
  if (state.finite == 0) { return; }
  let m1 = params.beta1 * m[i] + params.rest1 * g;
  let v1 = params.beta2 * v[i] + params.rest2 * g * g;
  m[i] = m1;
  v[i] = v1;
  let rate = state.learning_rate;
  let root = sqrt(v1 / state.correction2) + params.eps;
  let weight = weights[i] * (1.0 - rate * params.decay) - rate / state.correction1 * m1 / root;
  weights[i] = weight;
  if (HAS_COPIES) { copies[i] = vec4<Copy>(weight); }
}
