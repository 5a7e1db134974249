// out = x: the memory ceiling of the adapter.
//   x    [vectors * 4]
//   out  [vectors * 4]
// One thread owns PER_THREAD consecutive vec4s: 1 lets a GPU join the reads of neighbouring threads, more gives a CPU
// that plays GPU whole cache lines.

const WORKGROUP_SIZE = 64;
const PER_THREAD = 1u;

struct Params {
  vectors: u32,
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
  let first = ((group.y * groups.x + group.x) * WORKGROUP_SIZE + lane) * PER_THREAD;
  for (var i = first; i < min(first + PER_THREAD, params.vectors); i++) { out[i] = x[i]; }
}
