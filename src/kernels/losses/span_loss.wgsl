// Where an answer starts and ends: cross entropy over the tokens of each sequence, twice, and its gradient, which takes
// the logits' place.
//   logits      [tokens, 2]      start and end; replaced by (softmax over the sequence - onehot) * scale * loss_scale
//   cu_seqlens  [sequences + 1]  row of logits where each sequence begins, and the end of the last
//   labels      [sequences, 2]   token of the sequence, or 0xffffffff: ignored, its gradient zeros
//   state       State of the optimizer, whose loss_scale multiplies all gradients
//   losses      [sequences, 2]   times scale; 0 if ignored
// LANES threads own one of the two columns of a sequence. Computes in f32.
// #import "shared/reduce.wgsl"
// #import "losses/workgroup_max.wgsl"
// #import "optimizer/state.wgsl"

alias Scalar = f32;
const LANES = 64; // threads of a column
const WORKGROUP_SIZE = 64;
const LOWEST = -3.4028234e38;
const IGNORED = 0xffffffffu;

struct Params {
  rows: u32, // twice the sequences
  start_scale: f32, // 1 / (2 * the number of starts that are not ignored)
  end_scale: f32,
}

@group(0) @binding(0) var<storage, read_write> logits: array<Scalar>;
@group(0) @binding(1) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> state: State;
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  // Threads past the last column compute it once more, since all must meet at the barriers, and write nothing.
  let row = (group.y * groups.x + group.x) * (WORKGROUP_SIZE / LANES) + lane.thread / LANES;
  let item = min(row, params.rows - 1);
  let first = cu_seqlens[item / 2];
  let count = cu_seqlens[item / 2 + 1] - first;
  let start = first * 2 + item % 2;
  let label = labels[item];
  let seen = label != IGNORED;
  var greatest = LOWEST;
  for (var i = lane.thread % LANES; i < count; i += LANES) { greatest = max(greatest, f32(logits[start + i * 2])); }
  greatest = workgroup_max(greatest, lane);
  var sum = 0.0;
  var at_label = 0.0;
  for (var i = lane.thread % LANES; i < count; i += LANES) {
    let value = f32(logits[start + i * 2]);
    sum += exp(value - greatest);
    if (i == label) { at_label = value; }
  }
  let both = workgroup_sum2(vec2f(sum, at_label), lane);
  if (row >= params.rows) { return; }
  let scale = select(params.start_scale, params.end_scale, item % 2 == 1);
  for (var i = lane.thread % LANES; i < count; i += LANES) {
    let softmax = exp(f32(logits[start + i * 2]) - greatest) / both.x;
    let gradient = (softmax - select(0.0, 1.0, i == label)) * (scale * state.loss_scale);
    logits[start + i * 2] = Scalar(select(0.0, gradient, seen));
  }
  if (lane.thread % LANES == 0) { losses[row] = select(0.0, (log(both.x) + greatest - both.y) * scale, seen); }
}
