// Writes the best token of each row behind its sequence, unless that has ended: then the pad token.
//   batch    [rows / WIDTH]     the source of each WIDTH rows, or NOBODY
//   values   [rows]             the best score of each row
//   indices  [rows]             and its token
//   lists    first `ends` ids that end a sequence
//   tokens   [slots, capacity]
//   lengths  [slots]            tokens of a sequence that has ended, its end among them; 0 while it goes on, and
//                               0xffffffff once a score was not a number
// One thread owns a row.
// #import "generation/batch.wgsl"

const WORKGROUP_SIZE = 64;
const NO_NUMBER = 0xffffffffu;

struct Params {
  rows: u32,
  capacity: u32,
  ends: u32,
  pad: u32,
  step: u32, // the place of the newest token
}

@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> lists: array<u32>;
@group(0) @binding(4) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(5) var<storage, read_write> lengths: array<u32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = (group.y * groups.x + group.x) * WORKGROUP_SIZE + thread;
  if (row >= params.rows) { return; }
  let slot = slot_of(row);
  if (slot == NOBODY) { return; }
  let at = slot * params.capacity + params.step + 1;
  if (lengths[slot] != 0) {
    tokens[at] = params.pad;
    return;
  }
  let token = indices[row];
  tokens[at] = token;
  for (var i = 0u; i < params.ends; i++) {
    if (lists[i] == token) { lengths[slot] = params.step + 2; }
  }
  if ((bitcast<u32>(values[row]) & 0x7fffffffu) > 0x7f800000u) { lengths[slot] = NO_NUMBER; }
}
