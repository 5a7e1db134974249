// out = exp(x - max(x)) / sum(exp(x - max(x))) over each row, or its logarithm.
//   x    [rows, cols]
//   out  [rows, cols]
// A row of nothing but -infinity, which is a row wholly masked, gives zeros (-infinity for the logarithm). A row with
// a NaN or with +infinity gives NaN, as PyTorch does.
// One workgroup owns a row, its threads every WORKGROUP_SIZE-th column. Computes in f32.
// Joined with shared/reduce.wgsl and shared/order_key.wgsl.

alias Scalar = f32;
const WORKGROUP_SIZE = 64;
const LOG = false;

struct Params {
  rows: u32,
  cols: u32,
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
  for (var i = start + lane; i < end; i += WORKGROUP_SIZE) { key = max(key, order_key(f32(x[i]))); }
  key = workgroup_max_key(key, lane);
  let greatest = from_order_key(key);

  var sum = 0.0;
  for (var i = start + lane; i < end; i += WORKGROUP_SIZE) { sum += exp(f32(x[i]) - greatest); }
  sum = workgroup_sum(sum, lane);

  // By key and not by arithmetic: exp(NaN) is infinity on some adapters, and infinity - infinity 0 on others.
  let masked = key == MINUS_INFINITY_KEY;
  let undefined = key >= INFINITY_KEY;
  for (var i = start + lane; i < end; i += WORKGROUP_SIZE) {
    let shifted = f32(x[i]) - greatest;
    var y = select(exp(shifted) / sum, shifted - log(sum), LOG);
    y = select(y, select(0.0, greatest, LOG), masked);
    out[i] = Scalar(select(y, from_order_key(NAN_KEY | key), undefined));
  }
}
