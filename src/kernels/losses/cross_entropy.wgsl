// Cross entropy of rows of logits and its gradient, which takes the logits' place: no row is stored twice.
//   logits      [rows, cols]  replaced by (softmax(logits) - onehot(label)) * factor * scale * loss_scale, zeros if
//                             ignored; times factor wherever they are read; where PARTLY, columns from `counted` on are
//                             as if they were not there, and become zeros
//   labels      [rows]        a column, or 0xffffffff: the row is ignored
//   state       State of the optimizer, whose loss_scale multiplies all gradients
//   losses      [rows]        (log(sum(exp(logits))) - logit of the label) * scale; 0 if ignored
// LANES threads own a row, each every LANES-th vector of it. The row is read twice: once for its maximum and its sum,
// which is rescaled as the maximum rises, once for the gradient. Computes in f32.
// #import "losses/fours.wgsl"
// #import "shared/reduce.wgsl"
// #import "losses/workgroup_max.wgsl"
// #import "optimizer/state.wgsl"

const LANES = 64; // threads of a row
const WORKGROUP_SIZE = 64;
const LOWEST = -3.4028234e38;
const IGNORED = 0xffffffffu;
const PARTLY = false;

struct Params {
  rows: u32,
  cols: u32,
  scale: f32, // 1 / the number of labels
  factor: f32, // 1, or 1 over a temperature
  counted: u32, // columns
}

@group(0) @binding(0) var<storage, read_write> logits: array<Vector>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> state: State;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// Vector `i` of a row, which begins at `start`.
fn values_at(start: u32, i: u32) -> Sum {
  let values = Sum(logits[start + i]) * params.factor;
  if (!PARTLY) { return values; }
  return select(Sum(LOWEST), values, i * WIDTH + PLACES < params.counted + 0 * PLACES);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  // Threads past the last row compute it once more, since all must meet at the barriers, and write nothing.
  let row = (group.y * groups.x + group.x) * (WORKGROUP_SIZE / LANES) + lane.thread / LANES;
  let vectors = params.cols / WIDTH;
  let start = min(row, params.rows - 1) * vectors;
  let label = labels[min(row, params.rows - 1)];

  var greatest = Sum(LOWEST); // of the thread's elements so far, each component of a vector by itself
  var sums = Sum(); // of exp(element - greatest)
  var at_label = 0.0;
  for (var i = lane.thread % LANES; i < vectors; i += LANES) {
    let values = values_at(start, i);
    let higher = max(greatest, values);
    sums = sums * exp(greatest - higher) + exp(values - higher);
    greatest = higher;
    at_label += total(select(Sum(), values, i * WIDTH + PLACES == label + 0 * PLACES));
  }
  let highest = workgroup_max(greatest_of(greatest), lane);
  let both = workgroup_sum2(vec2f(total(sums * exp(greatest - highest)), at_label), lane);
  let seen = label != IGNORED;
  if (row >= params.rows) { return; }
  for (var i = lane.thread % LANES; i < vectors; i += LANES) {
    let softmax = exp(values_at(start, i) - highest) / both.x;
    let gradient = softmax - select(Sum(), Sum(1.0), i * WIDTH + PLACES == label + 0 * PLACES);
    logits[start + i] = Vector(select(Sum(), gradient * (params.factor * params.scale * state.loss_scale), seen));
  }
  if (lane.thread % LANES == 0) { losses[row] = select(0.0, (log(both.x) + highest - both.y) * params.scale, seen); }
}
