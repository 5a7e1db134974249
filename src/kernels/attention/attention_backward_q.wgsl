// The gradient of q in out = softmax(q k^T * scale) v, for every head, each sequence by itself, without padding:
// d_q = scale * g k, with g = p * (d_out v^T - delta), p = exp(q k^T * scale - lse), delta = the sum of d_out * out
//   qkv         head h of row r: of q from element r * stride + q_offset + h * head_dim; of k and v the same with
//               k_offset, v_offset; all of these multiples of 4
//   d_out, out  [tokens, heads * head_dim]
//   lse         [tokens, heads]  log(sum(exp(q k^T * scale))) as attention_training gave it
//   cu_seqlens  [sequences + 1]  row where each sequence begins, and the end of the last
//   tokens      one for each row; .w is 0 where the key is masked   read if HAS_MASK
//   delta       [tokens, heads]  written, for attention_backward_kv
//   d_q         written where q lies in qkv, so that one buffer takes the gradients of q, k and v
// With dropout, p is multiplied by what the forward pass drew: its gradient, not p itself.
// One workgroup owns 16 queries of one sequence and head, and up to 4 * GROUPS columns. It takes the keys in blocks of
// 4 * GROUPS, whose gradients of scores never leave it. One thread owns 4 queries: against 4 keys while these are made,
// on 4 columns while they are used. Computes in f32.
// #import "attention/backward_params.wgsl"
// #import "attention/backward_vec4.wgsl"
// #import "attention/backward_out_vec4.wgsl"
// #import "attention/dropped.wgsl"
// #import "attention/sequences.wgsl"

const GROUPS = 16; // threads for each four queries
const WORKGROUP_SIZE = GROUPS * 4;
const QUERIES = 16;
const HAS_MASK = false;
const CAUSAL = false; // a query sees the keys up to its own place in the sequence

@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(5) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> delta: array<f32>;
@group(0) @binding(7) var<storage, read_write> d_q: array<Scalar>;
@group(0) @binding(8) var<uniform> params: Params;

// A vector of four queries: parts of their delta.
var<workgroup> by_query: array<vec4f, WORKGROUP_SIZE>;
// The gradients of the scores of a thread's four keys, for each of its four queries.
var<workgroup> weights: array<array<vec4f, 4>, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = workgroup.y * workgroups.x + workgroup.x;
  let tile = item % params.tiles;
  let slice = item / params.tiles % params.slices;
  let head = item / params.tiles / params.slices;
  if (head >= params.heads) { return; }
  let sequence = sequence_of(tile);
  let first = cu_seqlens[sequence];
  let length = cu_seqlens[sequence + 1] - first;
  let tile_start = (tile - first_tile(sequence)) * QUERIES;
  if (tile_start >= length) { return; }
  let keys = select(length, min(length, tile_start + QUERIES), CAUSAL);

  let quad = lane % 4; // which four queries
  let group = lane / 4; // which four keys of a block, and which four columns
  let column = (slice * GROUPS + group) * 4;
  let has_column = column < params.head_dim;
  let in_head = head * params.head_dim;
  let query = tile_start + quad * 4 + vec4u(0, 1, 2, 3); // counted in the sequence, as keys are
  let row = first + min(query, vec4u(length - 1));
  let q_start = row * params.stride + params.q_offset + in_head;
  let d_start = row * params.heads * params.head_dim + in_head;

  var partial = vec4f();
  for (var d = group * 4; d < params.head_dim; d += GROUPS * 4) {
    for (var i = 0u; i < 4; i++) { partial[i] += dot(d_out_at(d_start[i], d), out_at(d_start[i], d)); }
  }
  by_query[lane] = partial;
  workgroupBarrier();
  var row_delta = vec4f();
  for (var i = quad; i < WORKGROUP_SIZE; i += 4) { row_delta += by_query[i]; }
  let of_row = row * params.heads + head;
  let row_lse = vec4f(lse[of_row.x], lse[of_row.y], lse[of_row.z], lse[of_row.w]) * LOG2_E;

  var o0 = vec4f(); var o1 = vec4f(); var o2 = vec4f(); var o3 = vec4f();
  for (var block = 0u; block < keys; block += GROUPS * 4) {
    let key = block + group * 4 + vec4u(0, 1, 2, 3);
    let key_row = first + min(key, vec4u(keys - 1));
    let k_start = key_row * params.stride + params.k_offset + in_head;
    let v_start = key_row * params.stride + params.v_offset + in_head;
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    for (var d = 0u; d < params.head_dim; d += 4) {
      let key4 = qkv_fours(k_start, d);
      s0 += qkv_at(q_start.x, d) * key4;
      s1 += qkv_at(q_start.y, d) * key4;
      s2 += qkv_at(q_start.z, d) * key4;
      s3 += qkv_at(q_start.w, d) * key4;
    }
    var g0 = vec4f(); var g1 = vec4f(); var g2 = vec4f(); var g3 = vec4f(); // gradients of probabilities
    for (var d = 0u; d < params.head_dim; d += 4) {
      let value4 = qkv_fours(v_start, d);
      g0 += d_out_at(d_start.x, d) * value4;
      g1 += d_out_at(d_start.y, d) * value4;
      g2 += d_out_at(d_start.z, d) * value4;
      g3 += d_out_at(d_start.w, d) * value4;
    }
    if (DROPS) {
      g0 = dropped(g0, keeps(row.x, key.x, head)); g1 = dropped(g1, keeps(row.y, key.x, head));
      g2 = dropped(g2, keeps(row.z, key.x, head)); g3 = dropped(g3, keeps(row.w, key.x, head));
    }
    var seen = key < vec4u(keys);
    if (HAS_MASK) { seen &= kept(key_row); }
    let p0 = weight(s0, row_lse.x, seen & causal(key, query.x));
    let p1 = weight(s1, row_lse.y, seen & causal(key, query.y));
    let p2 = weight(s2, row_lse.z, seen & causal(key, query.z));
    let p3 = weight(s3, row_lse.w, seen & causal(key, query.w));
    weights[lane] = array<vec4f, 4>(
      p0 * (g0 - row_delta.x), p1 * (g1 - row_delta.y), p2 * (g2 - row_delta.z), p3 * (g3 - row_delta.w),
    );
    workgroupBarrier();
    let filled = min(u32(GROUPS), (keys - block + 3) / 4);
    for (var g = 0u; g < filled && has_column; g++) {
      let row = first + min(block + g * 4 + vec4u(0, 1, 2, 3), vec4u(keys - 1));
      let key4 = qkv_fours(row * params.stride + params.k_offset + in_head, column);
      let source = g * 4 + quad;
      o0 += key4 * weights[source][0];
      o1 += key4 * weights[source][1];
      o2 += key4 * weights[source][2];
      o3 += key4 * weights[source][3];
    }
    workgroupBarrier(); // the next block's weights
  }

  if (!has_column) { return; }
  let results = array<vec4f, 4>(o0 * params.scale, o1 * params.scale, o2 * params.scale, o3 * params.scale);
  for (var i = 0u; i < 4 && query[i] < length; i++) {
    if (column == 0) { delta[of_row[i]] = row_delta[i]; }
    for (var j = 0u; j < min(4u, params.head_dim - column); j++) {
      d_q[q_start[i] + column + j] = Scalar(results[i][j]);
    }
  }
}

fn weight(score: vec4f, row_lse: f32, seen: vec4<bool>) -> vec4f {
  return select(vec4f(), exp2(score * (params.scale * LOG2_E) - row_lse), seen);
}
