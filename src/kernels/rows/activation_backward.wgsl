// d_pre = d_out * activation'(pre), element by element.
//   pre    [count]  what was activated
//   d_out  [count]
//   d_pre  [count]
// One thread owns 4 consecutive elements, one workgroup 4 * WORKGROUP_SIZE. Computes in f32.
// #import "shared/activation_gradient.wgsl"

alias Scalar = f32;
const WORKGROUP_SIZE = 64;

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> pre: array<vec4<Scalar>>;
@group(0) @binding(1) var<storage, read> d_out: array<vec4<Scalar>>;
@group(0) @binding(2) var<storage, read_write> d_pre: array<vec4<Scalar>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP_SIZE + lane;
  if (i >= (params.count + 3) / 4) { return; } // a buffer has whole fours
  d_pre[i] = vec4<Scalar>(vec4f(d_out[i]) * activation_gradient(vec4f(pre[i])));
}
