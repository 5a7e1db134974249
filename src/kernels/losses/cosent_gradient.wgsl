// CoSENT's second half: log(1 + sum(exp(sums))) of what cosent.wgsl gives, and the gradient of the similarities.
//   similarities    [rows]  of each pair, f32
//   labels          [rows]  how similar people say it is, f32
//   sums            [rows]  of cosent.wgsl
//   state           State of the optimizer, whose loss_scale multiplies all gradients
//   d_similarities  [rows]  times scale * loss_scale, f32
//   losses          [rows]  the loss times scale in the first, zeros in the others
// LANES threads own a row, each every LANES-th of the others. Computes in f32.
// #import "shared/reduce.wgsl"
// #import "losses/workgroup_max.wgsl"
// #import "optimizer/state.wgsl"

const LANES = 64; // threads of a row
const WORKGROUP_SIZE = 64;

struct Params {
  rows: u32,
  factor: f32, // of the similarities
  scale: f32, // 1 / the number of batches
}

@group(0) @binding(0) var<storage, read> similarities: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<f32>;
@group(0) @binding(2) var<storage, read> sums: array<f32>;
@group(0) @binding(3) var<storage, read> state: State;
@group(0) @binding(4) var<storage, read_write> d_similarities: array<f32>;
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  // Threads past the last row compute it once more, since all must meet at the barriers, and write nothing.
  let row = (group.y * groups.x + group.x) * (WORKGROUP_SIZE / LANES) + lane.thread / LANES;
  var greatest = 0.0; // of the 1
  for (var j = lane.thread % LANES; j < params.rows; j += LANES) { greatest = max(greatest, sums[j]); }
  greatest = workgroup_max(greatest, lane);
  var rest = 0.0;
  for (var j = lane.thread % LANES; j < params.rows; j += LANES) { rest += exp(sums[j] - greatest); }
  let loss = greatest + log(exp(-greatest) + workgroup_sum(rest, lane));

  let item = min(row, params.rows - 1);
  let label = labels[item];
  let own = similarities[item];
  var gradient = 0.0;
  for (var j = lane.thread % LANES; j < params.rows; j += LANES) {
    let apart = params.factor * (own - similarities[j]);
    if (label < labels[j]) { gradient += exp(apart - loss); }
    if (labels[j] < label) { gradient -= exp(-apart - loss); }
  }
  gradient = workgroup_sum(gradient, lane);
  if (row >= params.rows || lane.thread % LANES != 0) { return; }
  d_similarities[row] = gradient * (params.factor * params.scale * state.loss_scale);
  losses[row] = select(0.0, loss * params.scale, row == 0);
}
