// out = softmax(q k^T * scale) v for every head, each sequence by itself, sequences packed without padding.
//   q             head h of row r begins at element r * q_stride + q_offset + h * head_dim
//   k             the same with k_stride, k_offset; its rows may be other tokens than q's
//   v             the same with v_stride, v_offset, value_dim; all of these multiples of 4
//   cu_seqlens    [sequences + 1]  row of q where each sequence begins, and the end of the last
//   cu_seqlens_k  [sequences + 1]  the same for rows of k and v
//   tokens        one for each row of k; .w is 0 where the key is masked   read if HAS_MASK
//   out           [tokens, heads * value_dim]; a query without any visible key gives zeros
// One workgroup owns 16 queries of one sequence and head, and up to 4 * GROUPS columns of v. It takes the keys in
// blocks of 4 * GROUPS with a running softmax (Milakov and Gimelshein 2018), so that scores never leave it.
// One thread owns 4 queries: against 4 keys while scores are made, on 4 columns of v while they are used.
// Computes in f32.
// #import "attention/inference.wgsl"
// #import "attention/operands_vec4.wgsl"
// #import "attention/sequences.wgsl"

const GROUPS = 16; // threads for each four queries
const WORKGROUP_SIZE = GROUPS * 4;
const QUERIES = 16;
const HAS_MASK = false;
const CAUSAL = false; // a query sees the keys up to its own place in the sequence

@group(0) @binding(3) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(4) var<storage, read> cu_seqlens_k: array<u32>;
@group(0) @binding(5) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> out: array<Scalar>;
@group(0) @binding(7) var<uniform> params: Params;

// A vector of four queries: of their best scores in this block, or of their sums.
var<workgroup> by_query: array<vec4f, WORKGROUP_SIZE>;
// The weights of a thread's four keys, for each of its four queries.
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
  let first_query = cu_seqlens[sequence];
  let queries = cu_seqlens[sequence + 1] - first_query;
  let first_key = cu_seqlens_k[sequence];
  let tile_start = (tile - first_tile(sequence)) * QUERIES;
  if (tile_start >= queries) { return; }
  var keys = cu_seqlens_k[sequence + 1] - first_key;
  if (CAUSAL) { keys = min(keys, tile_start + QUERIES); }

  let quad = lane % 4; // which four queries
  let group = lane / 4; // which four keys of a block, and which four columns of v
  let four = slice * GROUPS + group;
  let own_four = min(four, (params.value_dim - 1) / 4); // past the last there is nothing to store
  let query = tile_start + quad * 4 + vec4u(0, 1, 2, 3); // counted in the sequence, as keys are
  let query_row = first_query + min(query, vec4u(queries - 1));
  let q_start = (query_row * params.q_stride + params.q_offset + head * params.head_dim) / WIDTH;
  let v_step = params.v_stride / WIDTH;
  var v_row = (first_key * params.v_stride + params.v_offset + head * params.value_dim) / WIDTH; // of the next key
  let v_last = v_row + (keys - 1) * v_step;

  var best = vec4f(FLOOR);
  var total = vec4f();
  var o0 = vec4f(); var o1 = vec4f(); var o2 = vec4f(); var o3 = vec4f();
  for (var block = 0u; block < keys; block += GROUPS * 4) {
    let key = block + group * 4 + vec4u(0, 1, 2, 3);
    let key_row = first_key + min(key, vec4u(keys - 1));
    let k_start = (key_row * params.k_stride + params.k_offset + head * params.head_dim) / WIDTH;
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    for (var d = 0u; d * 4 < params.head_dim; d++) {
      let key4 = mat4x4f(k_at(k_start.x, d), k_at(k_start.y, d), k_at(k_start.z, d), k_at(k_start.w, d));
      s0 += q_at(q_start.x, d) * key4;
      s1 += q_at(q_start.y, d) * key4;
      s2 += q_at(q_start.z, d) * key4;
      s3 += q_at(q_start.w, d) * key4;
    }
    var seen = key < vec4u(keys);
    if (HAS_MASK) { seen &= kept(key_row); }
    s0 = visible(s0, seen & causal(key, query.x)); s1 = visible(s1, seen & causal(key, query.y));
    s2 = visible(s2, seen & causal(key, query.z)); s3 = visible(s3, seen & causal(key, query.w));

    by_query[lane] = vec4f(max4(s0), max4(s1), max4(s2), max4(s3));
    workgroupBarrier();
    let before = best;
    for (var i = quad; i < WORKGROUP_SIZE; i += 4) { best = max(best, by_query[i]); }
    let shrink = exp2(before - best);
    s0 = exp2(s0 - best.x); s1 = exp2(s1 - best.y);
    s2 = exp2(s2 - best.z); s3 = exp2(s3 - best.w);
    total = total * shrink + vec4f(1) * mat4x4f(s0, s1, s2, s3);
    weights[lane] = array<vec4f, 4>(
      drop_some(s0, query_row.x, key.x, head), drop_some(s1, query_row.y, key.x, head),
      drop_some(s2, query_row.z, key.x, head), drop_some(s3, query_row.w, key.x, head),
    );
    workgroupBarrier();

    // No barrier follows: the next block writes by_query, which nobody reads here, and weights only after a barrier.
    o0 *= shrink.x; o1 *= shrink.y; o2 *= shrink.z; o3 *= shrink.w;
    for (var g = 0u; g < GROUPS; g++) { // to a constant: WebGPU guards other loops, at every turn
      if (block + g * 4 >= keys) { break; }
      let row = min(v_row + vec4u(0, 1, 2, 3) * v_step, vec4u(v_last));
      let value4 = mat4x4f(v_at(row.x, own_four), v_at(row.y, own_four), v_at(row.z, own_four), v_at(row.w, own_four));
      let source = g * 4 + quad;
      o0 += value4 * weights[source][0];
      o1 += value4 * weights[source][1];
      o2 += value4 * weights[source][2];
      o3 += value4 * weights[source][3];
      v_row += 4 * v_step;
    }
  }

  by_query[lane] = total;
  workgroupBarrier();
  total = vec4f();
  for (var i = quad; i < WORKGROUP_SIZE; i += 4) { total += by_query[i]; }
  if (four != own_four) { return; }
  let column = four * 4;
  let start = ((first_query + query) * params.heads + head) * params.value_dim + column;
  let results = array<vec4f, 4>(o0, o1, o2, o3);
  for (var i = 0u; i < 4 && query[i] < queries; i++) {
    if (four == 0) { keep_lse(query_row[i] * params.heads + head, best[i], total[i]); }
    let result = select(results[i] / total[i], vec4f(), total[i] == 0.0);
    for (var j = 0u; j < min(4u, params.value_dim - column); j++) { out[start[i] + j] = Scalar(result[j]); }
  }
}
