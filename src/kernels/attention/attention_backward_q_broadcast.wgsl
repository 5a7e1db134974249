// The gradient of q as attention_backward_q computes it, with the same operands: queries and gradients of scores pass
// from thread to thread within a subgroup. No barrier, no workgroup memory.
// One workgroup, which is one subgroup of SUBGROUP threads, owns 16 queries of one sequence and head, and SUBGROUP * 4
// * FOURS columns. One thread owns 4 keys of a block while scores are made, 4 * FOURS columns while they are used.
// Computes in f32.
// #import "attention/backward_params.wgsl"
// #import "attention/backward_vec4.wgsl"
// #import "attention/backward_out_vec4.wgsl"
// #import "attention/dropped.wgsl"
// #import "attention/rows_broadcast.wgsl"
// #import "attention/sequences.wgsl"
// #import "shared/add_products.wgsl"

enable subgroups;

const SUBGROUP = 8; // threads of every subgroup of the device: 4 or 8
const FOURS = 2; // of columns: 1 or 2
const QUERIES = 16;
const HAS_MASK = false;
const CAUSAL = false; // a query sees the keys up to its own place in the sequence

@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(5) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> delta: array<f32>;
@group(0) @binding(7) var<storage, read_write> d_q: array<Vec4>;
@group(0) @binding(8) var<uniform> params: Params;

@compute @workgroup_size(SUBGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let item = workgroup.y * workgroups.x + workgroup.x;
  let tile = item % params.tiles;
  let slice = item / params.tiles % params.slices;
  let head = item / params.tiles / params.slices;
  if (head >= params.heads) { return; }
  let sequence = sequence_of(tile);
  let first = cu_seqlens[sequence];
  let length = cu_seqlens[sequence + 1] - first;
  let query = (tile - first_tile(sequence)) * QUERIES; // the first, counted in the sequence, as keys are
  if (query >= length) { return; }
  let keys = select(length, min(length, query + QUERIES), CAUSAL);
  let in_head = head * params.head_dim;
  let column = (slice * FOURS * SUBGROUP + lane) * 4; // and SUBGROUP * 4 further, where FOURS is 2

  // Of the queries that this thread loads for all.
  var q_start: array<u32, QUERIES / SUBGROUP>;
  var d_start: array<u32, QUERIES / SUBGROUP>;
  var sums: array<vec2f, QUERIES / SUBGROUP>; // the logarithm to base 2, and delta
  for (var i = 0u; i < QUERIES / SUBGROUP; i++) {
    let row = first + min(query + i * SUBGROUP + lane, length - 1);
    q_start[i] = row * params.stride + params.q_offset + in_head;
    d_start[i] = row * params.heads * params.head_dim + in_head;
    var sum = 0.0;
    for (var d = 0u; d < params.head_dim; d += 4) { sum += dot(d_out_at(d_start[i], d), out_at(d_start[i], d)); }
    sums[i] = vec2f(lse[row * params.heads + head] * LOG2_E, sum);
    if (slice == 0 && query + i * SUBGROUP + lane < length) { delta[row * params.heads + head] = sum; }
  }

  var o = Rows();
  var u = Rows(); // of the second four columns
  for (var block = 0u; block < keys; block += SUBGROUP * 4) {
    let key = block + lane * 4 + vec4u(0, 1, 2, 3);
    let key_row = first + min(key, vec4u(keys - 1));
    let k_start = key_row * params.stride + params.k_offset + in_head;
    let v_start = key_row * params.stride + params.v_offset + in_head;
    var s = Rows();
    var g = Rows(); // gradients of probabilities
    var held: Held;
    for (var d = 0u; d < params.head_dim; d += 4) {
      for (var i = 0u; i < QUERIES / SUBGROUP; i++) { held[i] = qkv_at(q_start[i], d); }
      s = add_scores(s, held, transpose(qkv_fours(k_start, d)));
    }
    for (var d = 0u; d < params.head_dim; d += 4) {
      for (var i = 0u; i < QUERIES / SUBGROUP; i++) { held[i] = d_out_at(d_start[i], d); }
      g = add_scores(g, held, transpose(qkv_fours(v_start, d)));
    }
    var seen = key < vec4u(keys);
    if (HAS_MASK) { seen &= kept(key_row); }
    var drawn = vec4u();
    if (DROPS) { drawn = kept_by_queries(first + query, key.x, head); }
    for (var i = 0u; i < QUERIES; i++) {
      let own = subgroupShuffle(sums[i / SUBGROUP], i % SUBGROUP);
      if (DROPS) { g[i] = dropped(g[i], has_bit(drawn, i)); }
      let p = select(vec4f(), exp2(s[i] * (params.scale * LOG2_E) - own.x), seen & causal(key, query + i));
      s[i] = p * (g[i] - own.y);
    }
    for (var giver = 0u; giver < SUBGROUP && block + giver * 4 < keys; giver++) {
      for (var i = 0u; i < 4; i++) {
        let row = first + min(block + giver * 4 + i, keys - 1);
        let start = row * params.stride + params.k_offset + in_head;
        let w = given(s, i, giver);
        o = add_weighed(o, w, qkv_at(start, column));
        if (FOURS > 1) { u = add_weighed(u, w, qkv_at(start, column + SUBGROUP * 4)); }
      }
    }
  }

  let end = first + min(query + QUERIES, length);
  for (var row = first + query; row < end; row++) {
    let start = (row * params.stride + params.q_offset + in_head + column) / 4;
    if (column < params.head_dim) { d_q[start] = Vec4(o[0] * params.scale); }
    if (FOURS > 1 && column + SUBGROUP * 4 < params.head_dim) { d_q[start + SUBGROUP] = Vec4(u[0] * params.scale); }
    o = next_rows(o);
    if (FOURS > 1) { u = next_rows(u); }
  }
}
