// The tokens that a step of decoding reads, as the embeddings want them: of each row the newest token of its slot.
//   batch   [rows / WIDTH]       the source of each WIDTH rows, or NOBODY
//   tokens  [slots, capacity]    what each slot has written, place by place
//   out     [rows, 4]            id, token type 0, place, 1 for a token that others attend to
//   ids     [rows]
// One thread owns a row.
// #import "generation/batch.wgsl"

const WORKGROUP_SIZE = 64;

struct Params {
  rows: u32,
  capacity: u32,
  step: u32, // the place of the token
}

@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = (group.y * groups.x + group.x) * WORKGROUP_SIZE + thread;
  if (row >= params.rows) { return; }
  let slot = slot_of(row);
  var id = 0u;
  if (slot != NOBODY) { id = tokens[slot * params.capacity + params.step]; }
  out[row] = vec4u(id, 0, params.step, 1);
  ids[row] = id;
}
