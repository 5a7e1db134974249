// out = exp(x - max(x)) / sum(exp(x - max(x))) over each row, or its logarithm.
//   x    [rows, cols]
//   out  [rows, cols]
// A row of nothing but -infinity, which is a row wholly masked, gives zeros (-infinity for the logarithm). A row with
// a NaN or with +infinity gives NaN, as PyTorch does.
// LANES threads own a row, each every LANES-th vector of it. Computes in f32.
// Joined with shared/reduce.wgsl, shared/order_key.wgsl and shared/order_keys.wgsl.

alias Scalar = f32;
alias Vector = vec4<Scalar>; // Scalar where cols is not a multiple of 4
alias Sum = vec4f; // f32 there
alias Keys = vec4u; // u32 there
const WIDTH = 4; // of a vector: 1 there
const LANES = 64; // threads of a row
const WORKGROUP_SIZE = 64;
const LOG = false;

struct Params {
  rows: u32,
  cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read_write> out: array<Vector>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  // Threads past the last row compute it once more, since all must meet at the barriers, and write nothing.
  let row = (group.y * groups.x + group.x) * (WORKGROUP_SIZE / LANES) + thread / LANES;
  let vectors = params.cols / WIDTH;
  let start = min(row, params.rows - 1) * vectors + thread % LANES;
  let end = (min(row, params.rows - 1) + 1) * vectors;

  var keys = Keys();
  for (var i = start; i < end; i += LANES) { keys = max(keys, order_keys(Sum(x[i]))); }
  let each = vec4u(keys);
  let key = workgroup_max_key(max(max(each.x, each.y), max(each.z, each.w)), thread);
  let greatest = from_order_key(key);

  var sums = Sum();
  for (var i = start; i < end; i += LANES) { sums += exp(Sum(x[i]) - greatest); }
  // A Sum of one number becomes four of it.
  let sum = workgroup_sum(dot(vec4f(sums), vec4f(f32(WIDTH) / 4)), thread);

  // By key and not by arithmetic: exp(NaN) is infinity on some adapters, and infinity - infinity 0 on others.
  let masked = key == MINUS_INFINITY_KEY;
  let undefined = key >= INFINITY_KEY;
  if (row >= params.rows) { return; }
  for (var i = start; i < end; i += LANES) {
    let shifted = Sum(x[i]) - greatest;
    var y = select(exp(shifted) / sum, shifted - log(sum), LOG);
    y = select(y, Sum(select(0.0, greatest, LOG)), masked);
    out[i] = Vector(select(y, Sum(from_order_key(NAN_KEY | key)), undefined));
  }
}
