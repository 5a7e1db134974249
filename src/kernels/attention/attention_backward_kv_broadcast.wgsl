// The gradients of k and v as attention_backward_kv computes them, with the same operands: keys, probabilities and
// gradients of scores pass from thread to thread within a subgroup. No barrier, no workgroup memory.
// One workgroup, which is one subgroup of SUBGROUP threads, owns 16 keys of one sequence and head, and SUBGROUP * 4 *
// FOURS columns. One thread owns 4 queries of a block while scores are made, 4 * FOURS columns while they are used.
// Computes in f32.
// #import "attention/backward_params.wgsl"
// #import "attention/backward_vec4.wgsl"
// #import "attention/dropped.wgsl"
// #import "attention/rows_broadcast.wgsl"
// #import "attention/sequences.wgsl"
// #import "shared/add_products.wgsl"

enable subgroups;

const SUBGROUP = 8; // threads of every subgroup of the device: 4 or 8
const FOURS = 2; // of columns: 1 or 2
const QUERIES = 16; // of a tile, which here are keys
const HAS_MASK = false;
const CAUSAL = false; // a query sees the keys up to its own place in the sequence

@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(5) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> d_kv: array<Vec4>;
@group(0) @binding(7) var<uniform> params: Params;

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
  let key = (tile - first_tile(sequence)) * QUERIES; // the first, counted in the sequence, as queries are
  if (key >= length) { return; }
  let hidden = params.heads * params.head_dim;
  let in_head = head * params.head_dim;
  let column = (slice * FOURS * SUBGROUP + lane) * 4; // and SUBGROUP * 4 further, where FOURS is 2

  // Of the keys that this thread loads for all.
  var k_start: array<u32, QUERIES / SUBGROUP>;
  var unmasked: array<u32, QUERIES / SUBGROUP>;
  for (var i = 0u; i < QUERIES / SUBGROUP; i++) {
    let row = first + min(key + i * SUBGROUP + lane, length - 1);
    k_start[i] = row * params.stride + in_head;
    unmasked[i] = 1;
    if (HAS_MASK) { unmasked[i] = tokens[row].w; }
  }

  var dk = Rows();
  var dv = Rows();
  var dk_more = Rows(); // of the second four columns
  var dv_more = Rows();
  for (var block = select(0, key, CAUSAL); block < length; block += SUBGROUP * 4) {
    let query = block + lane * 4 + vec4u(0, 1, 2, 3);
    let row = first + min(query, vec4u(length - 1));
    let q_start = row * params.stride + params.q_offset + in_head;
    let d_start = row * hidden + in_head;
    let of_row = row * params.heads + head;
    let row_lse = vec4f(lse[of_row.x], lse[of_row.y], lse[of_row.z], lse[of_row.w]) * LOG2_E;
    let row_delta = vec4f(delta[of_row.x], delta[of_row.y], delta[of_row.z], delta[of_row.w]);
    var p = Rows(); // scores, then probabilities
    var g = Rows(); // gradients of probabilities, then of scores
    var held: Held;
    for (var d = 0u; d < params.head_dim; d += 4) {
      for (var i = 0u; i < QUERIES / SUBGROUP; i++) { held[i] = qkv_at(k_start[i] + params.k_offset, d); }
      p = add_scores(p, held, transpose(qkv_fours(q_start, d)));
    }
    for (var d = 0u; d < params.head_dim; d += 4) {
      for (var i = 0u; i < QUERIES / SUBGROUP; i++) { held[i] = qkv_at(k_start[i] + params.v_offset, d); }
      g = add_scores(g, held, transpose(d_out_fours(d_start, d)));
    }
    var drawn = vec4u();
    if (DROPS) {
      for (var i = 0u; i < 4; i++) { drawn = vec4u(drawn.yzw, kept_keys(row[i], key, head)); }
    }
    for (var i = 0u; i < QUERIES; i++) {
      var seen = query < vec4u(length);
      if (HAS_MASK) { seen &= vec4<bool>(subgroupShuffle(unmasked[i / SUBGROUP], i % SUBGROUP) != 0); }
      if (CAUSAL) { seen &= query >= vec4u(key + i); }
      p[i] = select(vec4f(), exp2(p[i] * (params.scale * LOG2_E) - row_lse), seen);
      if (DROPS) { g[i] = dropped(g[i], has_bit(drawn, i)); }
      g[i] = p[i] * (g[i] - row_delta);
      if (DROPS) { p[i] = dropped(p[i], has_bit(drawn, i)); }
    }
    for (var giver = 0u; giver < SUBGROUP && block + giver * 4 < length; giver++) {
      for (var i = 0u; i < 4; i++) {
        let start = (first + min(block + giver * 4 + i, length - 1)) * hidden + in_head;
        let w = given(p, i, giver);
        dv = add_weighed(dv, w, d_out_at(start, column));
        if (FOURS > 1) { dv_more = add_weighed(dv_more, w, d_out_at(start, column + SUBGROUP * 4)); }
      }
    }
    for (var giver = 0u; giver < SUBGROUP && block + giver * 4 < length; giver++) {
      for (var i = 0u; i < 4; i++) {
        let row = first + min(block + giver * 4 + i, length - 1);
        let start = row * params.stride + params.q_offset + in_head;
        let w = given(g, i, giver);
        dk = add_weighed(dk, w, qkv_at(start, column));
        if (FOURS > 1) { dk_more = add_weighed(dk_more, w, qkv_at(start, column + SUBGROUP * 4)); }
      }
    }
  }

  let end = first + min(key + QUERIES, length);
  for (var row = first + key; row < end; row++) {
    let start = row * params.stride + in_head + column;
    let k_at = (start + params.k_offset) / 4;
    let v_at = (start + params.v_offset) / 4;
    if (column < params.head_dim) {
      d_kv[k_at] = Vec4(dk[0] * params.scale);
      d_kv[v_at] = Vec4(dv[0]);
    }
    if (FOURS > 1 && column + SUBGROUP * 4 < params.head_dim) {
      d_kv[k_at + SUBGROUP] = Vec4(dk_more[0] * params.scale);
      d_kv[v_at + SUBGROUP] = Vec4(dv_more[0]);
    }
    dk = next_rows(dk); dv = next_rows(dv);
    if (FOURS > 1) { dk_more = next_rows(dk_more); dv_more = next_rows(dv_more); }
  }
}
