// Attention probabilities, softmax(q k^T * scale), for looking at: attention.wgsl never stores them.
//   q             head h of row r begins at element r * q_stride + q_offset + h * head_dim
//   k             the same with k_stride, k_offset; its rows may be other tokens than q's
//   cu_seqlens    [sequences + 1]  row of q where each sequence begins, and the end of the last
//   cu_seqlens_k  [sequences + 1]  the same for rows of k
//   tokens        one for each row of k; .w is 0 where the key is masked   read if HAS_MASK
//   prob_offsets  [sequences]      element of out where each sequence's probabilities begin
//   out           [heads, queries, keys] for each sequence; a query without any visible key gives zeros
// One workgroup owns the row of one query and head, its threads every WORKGROUP_SIZE-th key. A score is made anew
// each time that it is needed. Computes in f32.
// #import "shared/reduce.wgsl"
// #import "shared/order_key.wgsl"
// #import "shared/max_key.wgsl"

alias Scalar = f32;
const WORKGROUP_SIZE = 64;
const LANES = WORKGROUP_SIZE; // that sum together
const HAS_MASK = false;
const CAUSAL = false; // a query sees the keys up to its own place in the sequence

struct Params {
  rows: u32, // of q
  sequences: u32,
  heads: u32,
  head_dim: u32,
  q_stride: u32,
  k_stride: u32,
  q_offset: u32,
  k_offset: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<Scalar>;
@group(0) @binding(1) var<storage, read> k: array<Scalar>;
@group(0) @binding(2) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(3) var<storage, read> cu_seqlens_k: array<u32>;
@group(0) @binding(4) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> prob_offsets: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<Scalar>;
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  let item = group.y * groups.x + group.x;
  let head = item % params.heads;
  let row = item / params.heads;
  let sequence = sequence_of(row);
  if (row >= min(params.rows, cu_seqlens[sequence + 1])) { return; }
  let queries = cu_seqlens[sequence + 1] - cu_seqlens[sequence];
  let query = row - cu_seqlens[sequence];
  let first_key = cu_seqlens_k[sequence];
  let keys = cu_seqlens_k[sequence + 1] - first_key;

  var key = 0u;
  for (var j = lane.thread; j < keys; j += WORKGROUP_SIZE) {
    if (sees(query, j, first_key)) { key = max(key, order_key(score(row, first_key + j, head))); }
  }
  key = workgroup_max_key(key, lane);
  let greatest = from_order_key(key);

  var sum = 0.0;
  for (var j = lane.thread; j < keys; j += WORKGROUP_SIZE) {
    if (sees(query, j, first_key)) { sum += exp(score(row, first_key + j, head) - greatest); }
  }
  sum = workgroup_sum(sum, lane);

  let start = prob_offsets[sequence] + (head * queries + query) * keys;
  for (var j = lane.thread; j < keys; j += WORKGROUP_SIZE) {
    var y = 0.0;
    if (key > MINUS_INFINITY_KEY && sees(query, j, first_key)) {
      y = select(exp(score(row, first_key + j, head) - greatest) / sum, greatest, key == NAN_KEY);
    }
    out[start + j] = Scalar(y);
  }
}

fn score(query_row: u32, key_row: u32, head: u32) -> f32 {
  let q_start = query_row * params.q_stride + params.q_offset + head * params.head_dim;
  let k_start = key_row * params.k_stride + params.k_offset + head * params.head_dim;
  var sum = 0.0;
  for (var d = 0u; d < params.head_dim; d++) { sum += f32(q[q_start + d]) * f32(k[k_start + d]); }
  return sum * params.scale;
}

fn sees(query: u32, key: u32, first_key: u32) -> bool {
  if (CAUSAL && key > query) { return false; }
  return !HAS_MASK || tokens[first_key + key].w != 0;
}

fn sequence_of(row: u32) -> u32 {
  var low = 0u;
  var high = params.sequences;
  while (high - low > 1) {
    let middle = (low + high) / 2;
    if (cu_seqlens[middle] <= row) { low = middle; } else { high = middle; }
  }
  return low;
}
