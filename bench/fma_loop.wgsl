// out[i] = x[i] * scale + step, applied `iterations` times: the arithmetic ceiling of the adapter.
//   x    [threads * 8]
//   out  [threads * 8]
// One thread owns 8 elements: enough independent chains to cover the latency of a multiply-add, few enough for the
// registers of any GPU. `scale` is 1 and `step` is 1, which the compiler cannot know: the result is x + iterations, exactly.

const WORKGROUP_SIZE = 64;

struct Params {
  threads: u32,
  iterations: u32, // a multiple of 4
  scale: f32,
  step: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let thread = (group.y * groups.x + group.x) * WORKGROUP_SIZE + lane;
  if (thread >= params.threads) { return; }
  let scale = vec4f(params.scale);
  let step = vec4f(params.step);
  var a = x[thread * 2];
  var b = x[thread * 2 + 1];
  for (var i = 0u; i < params.iterations; i += 4) {
    a = fma(a, scale, step); b = fma(b, scale, step);
    a = fma(a, scale, step); b = fma(b, scale, step);
    a = fma(a, scale, step); b = fma(b, scale, step);
    a = fma(a, scale, step); b = fma(b, scale, step);
  }
  out[thread * 2] = a;
  out[thread * 2 + 1] = b;
}
