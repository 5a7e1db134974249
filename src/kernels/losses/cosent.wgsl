// CoSENT's first half: how far pairs of sentences that should be closer than others are not.
//   similarities  [rows]  of each pair, f32
//   labels        [rows]  how similar people say it is, f32
//   sums          [rows]  log(sum(exp(factor * (similarities[row] - similarities[j])))) over all j with
//                         labels[row] < labels[j]; LOWEST where there is none
// LANES threads own a row, each every LANES-th of the others. Computes in f32.
// #import "shared/reduce.wgsl"
// #import "losses/workgroup_max.wgsl"

const LANES = 64; // threads of a row
const WORKGROUP_SIZE = 64;
const LOWEST = -3.4028234e38;

struct Params {
  rows: u32,
  factor: f32, // of the similarities
}

@group(0) @binding(0) var<storage, read> similarities: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  // Threads past the last row compute it once more, since all must meet at the barriers, and write nothing.
  let row = (group.y * groups.x + group.x) * (WORKGROUP_SIZE / LANES) + lane.thread / LANES;
  let item = min(row, params.rows - 1);
  let label = labels[item];
  let own = similarities[item];
  var greatest = LOWEST;
  for (var j = lane.thread % LANES; j < params.rows; j += LANES) {
    if (label < labels[j]) { greatest = max(greatest, params.factor * (own - similarities[j])); }
  }
  greatest = workgroup_max(greatest, lane);
  var sum = 0.0;
  for (var j = lane.thread % LANES; j < params.rows; j += LANES) {
    if (label < labels[j]) { sum += exp(params.factor * (own - similarities[j]) - greatest); }
  }
  sum = workgroup_sum(sum, lane);
  if (row >= params.rows || lane.thread % LANES != 0) { return; }
  sums[row] = select(LOWEST, greatest + log(sum), sum > 0.0);
}
