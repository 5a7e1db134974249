// The triplet loss: an anchor is to be nearer to its positive than to its negative, by a margin.
//   x       [3 * rows, cols]  anchors, positives, negatives
//   state   State of the optimizer, whose loss_scale multiplies all gradients
//   dx      [3 * rows, cols]  times scale * loss_scale; at distance 0 that distance passes nothing on
//   losses  [rows]            max(|anchor - positive| - |anchor - negative| + margin, 0) * scale
// LANES threads own a row, each every LANES-th vector of it. Computes in f32.
// #import "rows/vectors.wgsl"
// #import "shared/reduce.wgsl"
// #import "rows/total.wgsl"
// #import "optimizer/state.wgsl"

const LANES = 64; // threads of a row
const WORKGROUP_SIZE = 64;

struct Params {
  rows: u32,
  cols: u32,
  margin: f32,
  scale: f32, // 1 / the number of rows
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read> state: State;
@group(0) @binding(2) var<storage, read_write> dx: array<Vector>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  // Threads past the last row compute it once more, since all must meet at the barriers, and write nothing.
  let row = (group.y * groups.x + group.x) * (WORKGROUP_SIZE / LANES) + lane.thread / LANES;
  let vectors = params.cols / WIDTH;
  let block = params.rows * vectors;
  let start = min(row, params.rows - 1) * vectors;
  var near = Sum();
  var far = Sum();
  for (var i = start + lane.thread % LANES; i < start + vectors; i += LANES) {
    let anchor = Sum(x[i]);
    let to_positive = anchor - Sum(x[i + block]);
    let to_negative = anchor - Sum(x[i + 2 * block]);
    near += to_positive * to_positive;
    far += to_negative * to_negative;
  }
  let distances = sqrt(workgroup_sum2(vec2f(total(near), total(far)), lane));
  let loss = max(distances.x - distances.y + params.margin, 0.0);
  if (row >= params.rows) { return; }
  let factor = select(0.0, params.scale * state.loss_scale, loss > 0.0);
  let slopes = select(factor / distances, vec2f(), distances == vec2f());
  for (var i = start + lane.thread % LANES; i < start + vectors; i += LANES) {
    let anchor = Sum(x[i]);
    let of_positive = (anchor - Sum(x[i + block])) * slopes.x;
    let of_negative = (anchor - Sum(x[i + 2 * block])) * slopes.y;
    dx[i] = Vector(of_positive - of_negative);
    dx[i + block] = Vector(-of_positive);
    dx[i + 2 * block] = Vector(of_negative);
  }
  if (lane.thread % LANES == 0) { losses[row] = loss * params.scale; }
}
