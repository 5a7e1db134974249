// out = x / max(sqrt(sum(x^2)), eps) over each row.
//   x    [rows, cols]
//   out  [rows, cols]
// The squares are of x divided by its greatest magnitude, so that they neither overflow nor vanish.
// LANES threads own a row, each every LANES-th vector of it. Computes in f32.
// #import "shared/reduce.wgsl"
// #import "shared/max_key.wgsl"
// #import "rows/total.wgsl"

alias Scalar = f32;
alias Vector = vec4<Scalar>; // Scalar where cols is not a multiple of 4
alias Sum = vec4f; // f32 there
alias Keys = vec4u; // u32 there
const WIDTH = 4; // of a vector: 1 there
const LANES = 64; // threads of a row
const WORKGROUP_SIZE = 64;

struct Params {
  rows: u32,
  cols: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read_write> out: array<Vector>;
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
  let start = min(row, params.rows - 1) * vectors + lane.thread % LANES;
  let end = (min(row, params.rows - 1) + 1) * vectors;

  // Magnitudes are ordered as their bits are: infinity is 0x7f800000, and a NaN above it.
  var bits = Keys();
  for (var i = start; i < end; i += LANES) { bits = max(bits, bitcast<Keys>(Sum(x[i])) & Keys(0x7fffffffu)); }
  let each = vec4u(bits);
  let greatest = workgroup_max_key(max(max(each.x, each.y), max(each.z, each.w)), lane);
  let magnitude = bitcast<f32>(greatest);
  let divisor = select(clamp(magnitude, 1e-30, 3e38), magnitude, greatest > 0x7f800000u); // not 0, not infinity

  var squares = Sum();
  for (var i = start; i < end; i += LANES) {
    let ratio = Sum(x[i]) / divisor;
    squares += ratio * ratio;
  }
  // The norm is divisor * root, which may overflow where the quotient does not; eps is compared in the same measure.
  let root = max(sqrt(workgroup_sum(total(squares), lane)), params.eps / divisor);
  if (row >= params.rows) { return; }
  for (var i = start; i < end; i += LANES) { out[i] = Vector(Sum(x[i]) / divisor / root); }
}
