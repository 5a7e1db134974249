// Dot products of rows of one half of a matrix with those of the other: cosines, where rows have length 1.
//   x     [2 * rows, cols]
//   dots  [rows]  sum over cols of x[row] * x[rows + row], f32
// LANES threads own a row, each every LANES-th vector of it. Computes in f32.
// #import "rows/vectors.wgsl"
// #import "shared/reduce.wgsl"
// #import "rows/total.wgsl"

const LANES = 64; // threads of a row
const WORKGROUP_SIZE = 64;

struct Params {
  rows: u32,
  cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read_write> dots: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  // Threads past the last row compute it once more, since all must meet at the barriers, and write nothing.
  let row = (group.y * groups.x + group.x) * (WORKGROUP_SIZE / LANES) + lane.thread / LANES;
  let vectors = params.cols / WIDTH;
  let first = min(row, params.rows - 1) * vectors;
  let second = first + params.rows * vectors;
  var products = Sum();
  for (var i = lane.thread % LANES; i < vectors; i += LANES) { products += Sum(x[first + i]) * Sum(x[second + i]); }
  let dot = workgroup_sum(total(products), lane);
  if (row < params.rows && lane.thread % LANES == 0) { dots[row] = dot; }
}
