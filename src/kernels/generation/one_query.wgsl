// softmax(q k^T * scale) v of one query and head, by a workgroup: keys in blocks of WORKGROUP_SIZE, a running softmax.
// One thread owns a key of a block while scores are made, and every WORKGROUP_SIZE-th column of v while they are used.
// The kernel declares q_at(d), k_at(key_start, d), v_at(key_start, d), and key_start(key): where a key's head begins.
// #import "shared/order_key.wgsl"
// #import "shared/max_key.wgsl"

const WORKGROUP_SIZE = 64;
const LANES = WORKGROUP_SIZE;
const COLUMNS = 1; // of v that a thread owns
const LOWEST = -3.4028234e38; // the maximum of no keys

var<workgroup> weights: array<f32, WORKGROUP_SIZE>;
var<workgroup> starts: array<u32, WORKGROUP_SIZE>;

// The thread's columns of the result; zeros where there are no keys.
fn attend(keys: u32, head_dim: u32, scale: f32, lane: Lane) -> array<f32, COLUMNS> {
  var best = LOWEST;
  var total = 0.0;
  var sums: array<f32, COLUMNS>;
  for (var block = 0u; block < keys; block += WORKGROUP_SIZE) {
    let key = block + lane.thread;
    var score = LOWEST;
    if (key < keys) {
      let start = key_start(key);
      starts[lane.thread] = start;
      var sum = 0.0;
      for (var d = 0u; d < head_dim; d++) { sum += q_at(d) * k_at(start, d); }
      score = sum * scale;
    }
    let new_best = max(best, from_order_key(workgroup_max_key(order_key(score), lane)));
    weights[lane.thread] = select(0.0, exp(score - new_best), key < keys);
    workgroupBarrier();
    let shrink = exp(best - new_best);
    best = new_best;
    total *= shrink;
    for (var c = 0u; c < COLUMNS; c++) { sums[c] *= shrink; }
    for (var g = 0u; g < min(u32(WORKGROUP_SIZE), keys - block); g++) {
      total += weights[g];
      for (var c = 0u; c < COLUMNS; c++) {
        let d = lane.thread + c * WORKGROUP_SIZE;
        if (d < head_dim) { sums[c] += weights[g] * v_at(starts[g], d); }
      }
    }
    workgroupBarrier();
  }
  for (var c = 0u; c < COLUMNS; c++) { sums[c] = select(sums[c] / total, 0.0, total == 0.0); }
  return sums;
}
