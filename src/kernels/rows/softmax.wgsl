// out = exp(x - max(x)) / sum(exp(x - max(x))) over each row, or its logarithm.
//   x    [rows, cols]
//   out  [rows, cols]
// A row of nothing but -infinity, which is a row wholly masked, gives zeros (-infinity for the logarithm). A row with
// a NaN or with +infinity gives NaN, as PyTorch does.
// LANES threads own a row, each every LANES-th vector of it. The row is read twice: once for its maximum and its sum,
// which is rescaled as the maximum rises, once for the result. Computes in f32.
// #import "rows/fours.wgsl"
// #import "shared/reduce.wgsl"
// #import "shared/order_keys.wgsl"
// #import "shared/max_key.wgsl"

const LANES = 64; // threads of a row
const WORKGROUP_SIZE = 64;
const LOG = false;
const STRETCH = 256; // vectors: a multiple of 4

struct Params {
  rows: u32,
  cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read_write> out: array<Vector>;
@group(0) @binding(2) var<uniform> params: Params;

// Of the thread's elements so far, each component of a vector by itself.
var<private> keys: Keys; // of the greatest; a finite one, lest infinity - infinity be computed
var<private> greatest: Sum; // from_order_keys(keys)
var<private> sums: Sum; // of exp(element - greatest), of a stretch of the row
var<private> totals: Sum; // of all stretches before

fn raise_greatest(seen: Keys) {
  keys = max(keys, seen);
  let before = greatest;
  greatest = from_order_keys(keys);
  let shrink = exp(before - greatest);
  sums *= shrink;
  totals *= shrink;
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
  let start = min(row, params.rows - 1) * vectors + lane.thread % LANES;
  let end = (min(row, params.rows - 1) + 1) * vectors;

  // Four at a time: the maximum rises a quarter as often, and loops cost software adapters much. In stretches, since
  // a long running sum rounds too often.
  keys = Keys(LOWEST_KEY);
  greatest = from_order_keys(keys);
  var i = start;
  while (i < end) {
    let stop = min(end, i + STRETCH * LANES);
    for (; i + 3 * LANES < stop; i += 4 * LANES) {
      let a = Sum(x[i]);
      let b = Sum(x[i + LANES]);
      let c = Sum(x[i + 2 * LANES]);
      let d = Sum(x[i + 3 * LANES]);
      raise_greatest(max(max(order_keys(a), order_keys(b)), max(order_keys(c), order_keys(d))));
      sums += (exp(a - greatest) + exp(b - greatest)) + (exp(c - greatest) + exp(d - greatest));
    }
    for (; i < stop; i += LANES) {
      let a = Sum(x[i]);
      raise_greatest(order_keys(a));
      sums += exp(a - greatest);
    }
    totals += sums;
    sums = Sum();
  }
  let key = workgroup_max_key(greatest_of(keys), lane);
  let row_greatest = from_order_key(key);
  let sum = workgroup_sum(total(totals * exp(greatest - row_greatest)), lane);

  if (row >= params.rows) { return; }
  i = start;
  // By key and not by arithmetic: exp(NaN) is infinity on some adapters, and infinity - infinity 0 on others.
  if (key >= INFINITY_KEY || sum == 0) { // the sum has a 1 for the greatest, unless all are -infinity
    var fill = select(0, from_order_key(MINUS_INFINITY_KEY), LOG);
    if (key >= INFINITY_KEY) { fill = from_order_key(NAN_KEY | key); }
    for (; i < end; i += LANES) { out[i] = Vector(Sum(fill)); }
    return;
  }
  let last = select(1 / sum, log(sum), LOG);
  for (; i < end; i += LANES) {
    let shifted = Sum(x[i]) - row_greatest;
    out[i] = Vector(select(exp(shifted) * last, shifted - last, LOG));
  }
}
