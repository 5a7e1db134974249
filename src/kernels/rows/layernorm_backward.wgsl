// The gradient that layer normalisation passes on: of out = n * gamma + beta with
// n = (x - mean(x)) / sqrt(variance(x) + eps).
//   x      [rows, cols]  what was normalised
//   gamma  [cols]
//   d_out  [rows, cols]
//   dx     [rows, cols]  (g - mean(g) - n * mean(g * n)) / sqrt(variance(x) + eps), with g = d_out * gamma
//   stats  [rows]        mean(x) and 1 / sqrt(variance(x) + eps), for layernorm_weights_backward.wgsl
// LANES threads own a row, each every LANES-th vector of it. Computes in f32.
// #import "rows/row_moments.wgsl"

alias Scalar = f32;
alias Vector = vec4<Scalar>; // Scalar where cols is not a multiple of 4
alias Sum = vec4f; // f32 there
const WIDTH = 4; // of a vector: 1 there
const LANES = 64; // threads of a row
const WORKGROUP_SIZE = 64;

struct Params {
  rows: u32,
  cols: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read> gamma: array<Vector>;
@group(0) @binding(2) var<storage, read> d_out: array<Vector>;
@group(0) @binding(3) var<storage, read_write> dx: array<Vector>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2f>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  let row = (group.y * groups.x + group.x) * (WORKGROUP_SIZE / LANES) + lane.thread / LANES;
  let moments = row_moments(row, lane);
  let vectors = params.cols / WIDTH;
  let start = min(row, params.rows - 1) * vectors;
  var sum = Sum(); // of g
  var product = Sum(); // of g * n
  for (var i = lane.thread % LANES; i < vectors; i += LANES) {
    let g = Sum(d_out[start + i]) * Sum(gamma[i]);
    sum += g;
    product += g * normal_at(start + i, moments);
  }
  let means = workgroup_sum2(vec2f(total(sum), total(product)), lane) / f32(params.cols);
  if (row >= params.rows) { return; }
  for (var i = lane.thread % LANES; i < vectors; i += LANES) {
    let g = Sum(d_out[start + i]) * Sum(gamma[i]);
    dx[start + i] = Vector((g - means.x - normal_at(start + i, moments) * means.y) * moments.scale);
  }
  if (lane.thread % LANES == 0) { stats[row] = vec2f(moments.mean + moments.rest, moments.scale); }
}

fn normal_at(at: u32, moments: Moments) -> Sum {
  return (Sum(x[at]) - moments.mean - moments.rest) * moments.scale;
}

fn starts_of(row: u32, vectors: u32) -> u32 {
  return row * vectors;
}

fn elements(at: u32) -> Sum {
  return Sum(x[at]);
}
