// The gradient that l2_normalize.wgsl passes on: of out = x / max(|x|, eps).
//   x      [rows, cols]
//   d_out  [rows, cols]
//   dx     [rows, cols]  (d_out - n * (n . d_out)) / |x| with n = x / |x|; d_out / eps where |x| <= eps
// LANES threads own a row, each every LANES-th vector of it. Computes in f32.
// #import "rows/vectors.wgsl"
// #import "shared/reduce.wgsl"
// #import "rows/total.wgsl"

const LANES = 64; // threads of a row
const WORKGROUP_SIZE = 64;

struct Params {
  rows: u32,
  cols: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read> d_out: array<Vector>;
@group(0) @binding(2) var<storage, read_write> dx: array<Vector>;
@group(0) @binding(3) var<uniform> params: Params;

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
  var squares = Sum();
  var products = Sum();
  for (var i = lane.thread % LANES; i < vectors; i += LANES) {
    let value = Sum(x[start + i]);
    squares += value * value;
    products += value * Sum(d_out[start + i]);
  }
  let sums = workgroup_sum2(vec2f(total(squares), total(products)), lane);
  let norm = sqrt(sums.x);
  let short = norm <= params.eps;
  let scale = 1.0 / max(norm, params.eps);
  let along = select(sums.y * scale * scale, 0.0, short); // of x in the gradient
  if (row >= params.rows) { return; }
  for (var i = lane.thread % LANES; i < vectors; i += LANES) {
    dx[start + i] = Vector((Sum(d_out[start + i]) - Sum(x[start + i]) * along) * scale);
  }
}
