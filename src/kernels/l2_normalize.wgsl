// out = x / max(sqrt(sum(x^2)), eps) over each row.
//   x    [rows, cols]
//   out  [rows, cols]
// The squares are of x divided by its greatest magnitude, so that they neither overflow nor vanish.
// One workgroup owns a row, its threads every WORKGROUP_SIZE-th column. Computes in f32.
// Joined with shared/reduce.wgsl and shared/order_key.wgsl.

alias Scalar = f32;
const WORKGROUP_SIZE = 64;
const LANES = WORKGROUP_SIZE; // that sum together

struct Params {
  rows: u32,
  cols: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Scalar>;
@group(0) @binding(1) var<storage, read_write> out: array<Scalar>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let start = row * params.cols;
  let end = start + params.cols;

  var key = 0u;
  for (var i = start + lane; i < end; i += WORKGROUP_SIZE) { key = max(key, order_key(abs(f32(x[i])))); }
  key = workgroup_max_key(key, lane);
  var divisor = clamp(from_order_key(key), 1e-30, 3e38); // not 0, not infinity
  if (key == NAN_KEY) { divisor = from_order_key(key); }

  var squares = 0.0;
  for (var i = start + lane; i < end; i += WORKGROUP_SIZE) {
    let ratio = f32(x[i]) / divisor;
    squares += ratio * ratio;
  }
  // The norm is divisor * root, which may overflow where the quotient does not; eps is compared in the same measure.
  let root = max(sqrt(workgroup_sum(squares, lane)), params.eps / divisor);
  for (var i = start + lane; i < end; i += WORKGROUP_SIZE) { out[i] = Scalar(f32(x[i]) / divisor / root); }
}
