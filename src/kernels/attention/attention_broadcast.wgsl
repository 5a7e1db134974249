// out = softmax(q k^T * scale) v as attention.wgsl computes it, with the same operands and Params: queries and weights
// pass from thread to thread within a subgroup, as rows do in matmul_broadcast.wgsl. No barrier, no workgroup memory.
// One workgroup, which is one subgroup of SUBGROUP threads, owns 8 queries of one sequence and head, and SUBGROUP * 4 *
// FOURS columns of v. One thread owns 4 keys of a block while scores are made, 4 * FOURS columns of v while they are
// used. Computes in f32. Loads and stores stand in loops, because some drivers take longest to compile these.
// #import "attention/inference.wgsl"
// #import "attention/operands_vec4.wgsl"
// #import "attention/sequences.wgsl"
// #import "shared/add_products.wgsl"

enable subgroups;

const SUBGROUP = 8; // threads of every subgroup of the device: 4 or 8
const FOURS = 2; // of columns of v: 1, 2 or 4
const QUERIES = 8;
const HAS_MASK = false;
const CAUSAL = false; // a query sees the keys up to its own place in the sequence

@group(0) @binding(3) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(4) var<storage, read> cu_seqlens_k: array<u32>;
@group(0) @binding(5) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> out: array<Vec4>;
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
  let first_query = cu_seqlens[sequence];
  let queries = cu_seqlens[sequence + 1] - first_query;
  let first_key = cu_seqlens_k[sequence];
  let query = (tile - first_tile(sequence)) * QUERIES; // the first, counted in the sequence, as keys are
  if (query >= queries) { return; }
  var keys = cu_seqlens_k[sequence + 1] - first_key;
  if (CAUSAL) { keys = min(keys, query + QUERIES); }
  let query_row = first_query + query;
  let four = slice * FOURS * SUBGROUP + lane; // of columns of v; and SUBGROUP further, FOURS times

  var q_start: array<u32, QUERIES / SUBGROUP>; // of the queries that this thread loads for all
  for (var i = 0u; i < QUERIES / SUBGROUP; i++) {
    let row = first_query + min(query + i * SUBGROUP + lane, queries - 1);
    q_start[i] = (row * params.q_stride + params.q_offset + head * params.head_dim) / WIDTH;
  }
  var best_a = vec4f(FLOOR); var best_b = vec4f(FLOOR); // of queries 0-3, 4-7
  var total_a = vec4f(); var total_b = vec4f();
  var o0 = vec4f(); var o1 = vec4f(); var o2 = vec4f(); var o3 = vec4f();
  var o4 = vec4f(); var o5 = vec4f(); var o6 = vec4f(); var o7 = vec4f();
  var u0 = vec4f(); var u1 = vec4f(); var u2 = vec4f(); var u3 = vec4f(); // of the second four columns
  var u4 = vec4f(); var u5 = vec4f(); var u6 = vec4f(); var u7 = vec4f();
  var y0 = vec4f(); var y1 = vec4f(); var y2 = vec4f(); var y3 = vec4f();
  var y4 = vec4f(); var y5 = vec4f(); var y6 = vec4f(); var y7 = vec4f();
  var z0 = vec4f(); var z1 = vec4f(); var z2 = vec4f(); var z3 = vec4f();
  var z4 = vec4f(); var z5 = vec4f(); var z6 = vec4f(); var z7 = vec4f();
  for (var block = 0u; block < keys; block += SUBGROUP * 4) {
    let key = block + lane * 4 + vec4u(0, 1, 2, 3);
    let key_row = first_key + min(key, vec4u(keys - 1));
    let k_start = (key_row * params.k_stride + params.k_offset + head * params.head_dim) / WIDTH;
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    var s4 = vec4f(); var s5 = vec4f(); var s6 = vec4f(); var s7 = vec4f();
    var held: array<vec4f, QUERIES / SUBGROUP>;
    for (var d = 0u; d * 4 < params.head_dim; d++) {
      for (var i = 0u; i < QUERIES / SUBGROUP; i++) { held[i] = q_at(q_start[i], d); }
      let k4 = transpose(mat4x4f(k_at(k_start.x, d), k_at(k_start.y, d), k_at(k_start.z, d), k_at(k_start.w, d)));
      s0 = add_products(s0, subgroupBroadcast(held[0 / SUBGROUP], 0 % SUBGROUP), k4);
      s1 = add_products(s1, subgroupBroadcast(held[1 / SUBGROUP], 1 % SUBGROUP), k4);
      s2 = add_products(s2, subgroupBroadcast(held[2 / SUBGROUP], 2 % SUBGROUP), k4);
      s3 = add_products(s3, subgroupBroadcast(held[3 / SUBGROUP], 3 % SUBGROUP), k4);
      s4 = add_products(s4, subgroupBroadcast(held[4 / SUBGROUP], 4 % SUBGROUP), k4);
      s5 = add_products(s5, subgroupBroadcast(held[5 / SUBGROUP], 5 % SUBGROUP), k4);
      s6 = add_products(s6, subgroupBroadcast(held[6 / SUBGROUP], 6 % SUBGROUP), k4);
      s7 = add_products(s7, subgroupBroadcast(held[7 / SUBGROUP], 7 % SUBGROUP), k4);
    }
    var seen = key < vec4u(keys);
    if (HAS_MASK) { seen &= kept(key_row); }
    s0 = visible(s0, seen & causal(key, query)); s1 = visible(s1, seen & causal(key, query + 1));
    s2 = visible(s2, seen & causal(key, query + 2)); s3 = visible(s3, seen & causal(key, query + 3));
    s4 = visible(s4, seen & causal(key, query + 4)); s5 = visible(s5, seen & causal(key, query + 5));
    s6 = visible(s6, seen & causal(key, query + 6)); s7 = visible(s7, seen & causal(key, query + 7));

    let new_a = max(best_a, subgroup_max(vec4f(max4(s0), max4(s1), max4(s2), max4(s3))));
    let new_b = max(best_b, subgroup_max(vec4f(max4(s4), max4(s5), max4(s6), max4(s7))));
    let shrink_a = exp2(best_a - new_a);
    let shrink_b = exp2(best_b - new_b);
    best_a = new_a;
    best_b = new_b;
    s0 = exp2(s0 - new_a.x); s1 = exp2(s1 - new_a.y);
    s2 = exp2(s2 - new_a.z); s3 = exp2(s3 - new_a.w);
    s4 = exp2(s4 - new_b.x); s5 = exp2(s5 - new_b.y);
    s6 = exp2(s6 - new_b.z); s7 = exp2(s7 - new_b.w);
    total_a = total_a * shrink_a + vec4f(1) * mat4x4f(s0, s1, s2, s3);
    total_b = total_b * shrink_b + vec4f(1) * mat4x4f(s4, s5, s6, s7);
    s0 = drop_some(s0, query_row, key.x, head); s1 = drop_some(s1, query_row + 1, key.x, head);
    s2 = drop_some(s2, query_row + 2, key.x, head); s3 = drop_some(s3, query_row + 3, key.x, head);
    s4 = drop_some(s4, query_row + 4, key.x, head); s5 = drop_some(s5, query_row + 5, key.x, head);
    s6 = drop_some(s6, query_row + 6, key.x, head); s7 = drop_some(s7, query_row + 7, key.x, head);

    o0 *= shrink_a.x; o1 *= shrink_a.y; o2 *= shrink_a.z; o3 *= shrink_a.w;
    o4 *= shrink_b.x; o5 *= shrink_b.y; o6 *= shrink_b.z; o7 *= shrink_b.w;
    u0 *= shrink_a.x; u1 *= shrink_a.y; u2 *= shrink_a.z; u3 *= shrink_a.w;
    u4 *= shrink_b.x; u5 *= shrink_b.y; u6 *= shrink_b.z; u7 *= shrink_b.w;
    if (FOURS > 2) {
      y0 *= shrink_a.x; y1 *= shrink_a.y; y2 *= shrink_a.z; y3 *= shrink_a.w;
      y4 *= shrink_b.x; y5 *= shrink_b.y; y6 *= shrink_b.z; y7 *= shrink_b.w;
      z0 *= shrink_a.x; z1 *= shrink_a.y; z2 *= shrink_a.z; z3 *= shrink_a.w;
      z4 *= shrink_b.x; z5 *= shrink_b.y; z6 *= shrink_b.z; z7 *= shrink_b.w;
    }
    for (var turn = 0u; turn < min(SUBGROUP * 4u, keys - block); turn++) { // one key, of thread turn / 4
      let giver = turn / 4;
      let v_start = ((first_key + block + turn) * params.v_stride + params.v_offset + head * params.value_dim) / WIDTH;
      let w0 = vec4f(subgroupShuffle(s0.x, giver)); let w1 = vec4f(subgroupShuffle(s1.x, giver));
      let w2 = vec4f(subgroupShuffle(s2.x, giver)); let w3 = vec4f(subgroupShuffle(s3.x, giver));
      let w4 = vec4f(subgroupShuffle(s4.x, giver)); let w5 = vec4f(subgroupShuffle(s5.x, giver));
      let w6 = vec4f(subgroupShuffle(s6.x, giver)); let w7 = vec4f(subgroupShuffle(s7.x, giver));
      let v4 = v_at(v_start, four);
      o0 = fma(w0, v4, o0); o1 = fma(w1, v4, o1); o2 = fma(w2, v4, o2); o3 = fma(w3, v4, o3);
      o4 = fma(w4, v4, o4); o5 = fma(w5, v4, o5); o6 = fma(w6, v4, o6); o7 = fma(w7, v4, o7);
      if (FOURS > 1) {
        let v8 = v_at(v_start, four + SUBGROUP);
        u0 = fma(w0, v8, u0); u1 = fma(w1, v8, u1); u2 = fma(w2, v8, u2); u3 = fma(w3, v8, u3);
        u4 = fma(w4, v8, u4); u5 = fma(w5, v8, u5); u6 = fma(w6, v8, u6); u7 = fma(w7, v8, u7);
      }
      if (FOURS > 2) {
        let va = v_at(v_start, four + 2 * SUBGROUP);
        y0 = fma(w0, va, y0); y1 = fma(w1, va, y1); y2 = fma(w2, va, y2); y3 = fma(w3, va, y3);
        y4 = fma(w4, va, y4); y5 = fma(w5, va, y5); y6 = fma(w6, va, y6); y7 = fma(w7, va, y7);
        let vb = v_at(v_start, four + 3 * SUBGROUP);
        z0 = fma(w0, vb, z0); z1 = fma(w1, vb, z1); z2 = fma(w2, vb, z2); z3 = fma(w3, vb, z3);
        z4 = fma(w4, vb, z4); z5 = fma(w5, vb, z5); z6 = fma(w6, vb, z6); z7 = fma(w7, vb, z7);
      }
      s0 = s0.yzwx; s1 = s1.yzwx; s2 = s2.yzwx; s3 = s3.yzwx;
      s4 = s4.yzwx; s5 = s5.yzwx; s6 = s6.yzwx; s7 = s7.yzwx;
    }
  }

  var a = reciprocal(subgroup_sum(total_a)); // of the next four rows
  var b = reciprocal(subgroup_sum(total_b));
  let fours = params.value_dim / 4;
  let end = first_query + min(query + QUERIES, queries);
  for (var row = query_row; row < end; row++) {
    if (four == 0) { keep_lse(row * params.heads + head, best_a.x, reciprocal(a).x); }
    let start = (row * params.heads + head) * fours + four;
    if (four < fours) { out[start] = Vec4(o0 * a.x); }
    if (FOURS > 1 && four + SUBGROUP < fours) { out[start + SUBGROUP] = Vec4(u0 * a.x); }
    if (FOURS > 2 && four + 2 * SUBGROUP < fours) { out[start + 2 * SUBGROUP] = Vec4(y0 * a.x); }
    if (FOURS > 2 && four + 3 * SUBGROUP < fours) { out[start + 3 * SUBGROUP] = Vec4(z0 * a.x); }
    a = vec4f(a.yzw, b.x); b = b.yzwx; // the next row's
    best_a = vec4f(best_a.yzw, best_b.x); best_b = best_b.yzwx;
    o0 = o1; o1 = o2; o2 = o3; o3 = o4; o4 = o5; o5 = o6; o6 = o7;
    u0 = u1; u1 = u2; u2 = u3; u3 = u4; u4 = u5; u5 = u6; u6 = u7;
    y0 = y1; y1 = y2; y2 = y3; y3 = y4; y4 = y5; y5 = y6; y6 = y7;
    z0 = z1; z1 = z2; z2 = z3; z3 = z4; z4 = z5; z5 = z6; z6 = z7;
  }
}

// 0 of the total of no keys.
fn reciprocal(total: vec4f) -> vec4f {
  return select(1.0 / total, vec4f(), total == vec4f());
}

// By shuffles, which compile to less than subgroupMax and subgroupAdd do.
fn subgroup_max(value: vec4f) -> vec4f {
  var result = value;
  for (var apart = SUBGROUP / 2u; apart > 0; apart /= 2) { result = max(result, subgroupShuffleXor(result, apart)); }
  return result;
}

fn subgroup_sum(value: vec4f) -> vec4f {
  var result = value;
  for (var apart = SUBGROUP / 2u; apart > 0; apart /= 2) { result += subgroupShuffleXor(result, apart); }
  return result;
}
