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

// What belongs to the eight queries.
struct Eight {
  r0: vec4f, r1: vec4f, r2: vec4f, r3: vec4f,
  r4: vec4f, r5: vec4f, r6: vec4f, r7: vec4f,
}

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
  var o = Eight(); // of the first four columns, the second, ...
  var u = Eight();
  var y = Eight();
  var z = Eight();
  for (var block = 0u; block < keys; block += SUBGROUP * 4) {
    let key = block + lane * 4 + vec4u(0, 1, 2, 3);
    let key_row = first_key + min(key, vec4u(keys - 1));
    let k_start = (key_row * params.k_stride + params.k_offset + head * params.head_dim) / WIDTH;
    var s = Eight();
    var held: array<vec4f, QUERIES / SUBGROUP>;
    for (var d = 0u; d * 4 < params.head_dim; d++) {
      for (var i = 0u; i < QUERIES / SUBGROUP; i++) { held[i] = q_at(q_start[i], d); }
      let k4 = transpose(mat4x4f(k_at(k_start.x, d), k_at(k_start.y, d), k_at(k_start.z, d), k_at(k_start.w, d)));
      s.r0 = add_products(s.r0, subgroupBroadcast(held[0 / SUBGROUP], 0 % SUBGROUP), k4);
      s.r1 = add_products(s.r1, subgroupBroadcast(held[1 / SUBGROUP], 1 % SUBGROUP), k4);
      s.r2 = add_products(s.r2, subgroupBroadcast(held[2 / SUBGROUP], 2 % SUBGROUP), k4);
      s.r3 = add_products(s.r3, subgroupBroadcast(held[3 / SUBGROUP], 3 % SUBGROUP), k4);
      s.r4 = add_products(s.r4, subgroupBroadcast(held[4 / SUBGROUP], 4 % SUBGROUP), k4);
      s.r5 = add_products(s.r5, subgroupBroadcast(held[5 / SUBGROUP], 5 % SUBGROUP), k4);
      s.r6 = add_products(s.r6, subgroupBroadcast(held[6 / SUBGROUP], 6 % SUBGROUP), k4);
      s.r7 = add_products(s.r7, subgroupBroadcast(held[7 / SUBGROUP], 7 % SUBGROUP), k4);
    }
    var seen = key < vec4u(keys);
    if (HAS_MASK) { seen &= kept(key_row); }
    s.r0 = visible(s.r0, seen & causal(key, query)); s.r1 = visible(s.r1, seen & causal(key, query + 1));
    s.r2 = visible(s.r2, seen & causal(key, query + 2)); s.r3 = visible(s.r3, seen & causal(key, query + 3));
    s.r4 = visible(s.r4, seen & causal(key, query + 4)); s.r5 = visible(s.r5, seen & causal(key, query + 5));
    s.r6 = visible(s.r6, seen & causal(key, query + 6)); s.r7 = visible(s.r7, seen & causal(key, query + 7));

    let new_a = max(best_a, subgroup_max(vec4f(max4(s.r0), max4(s.r1), max4(s.r2), max4(s.r3))));
    let new_b = max(best_b, subgroup_max(vec4f(max4(s.r4), max4(s.r5), max4(s.r6), max4(s.r7))));
    let shrink_a = exp2(best_a - new_a);
    let shrink_b = exp2(best_b - new_b);
    best_a = new_a;
    best_b = new_b;
    s.r0 = exp2(s.r0 - new_a.x); s.r1 = exp2(s.r1 - new_a.y);
    s.r2 = exp2(s.r2 - new_a.z); s.r3 = exp2(s.r3 - new_a.w);
    s.r4 = exp2(s.r4 - new_b.x); s.r5 = exp2(s.r5 - new_b.y);
    s.r6 = exp2(s.r6 - new_b.z); s.r7 = exp2(s.r7 - new_b.w);
    total_a = total_a * shrink_a + vec4f(1) * mat4x4f(s.r0, s.r1, s.r2, s.r3);
    total_b = total_b * shrink_b + vec4f(1) * mat4x4f(s.r4, s.r5, s.r6, s.r7);
    s.r0 = drop_some(s.r0, query_row, key.x, head); s.r1 = drop_some(s.r1, query_row + 1, key.x, head);
    s.r2 = drop_some(s.r2, query_row + 2, key.x, head); s.r3 = drop_some(s.r3, query_row + 3, key.x, head);
    s.r4 = drop_some(s.r4, query_row + 4, key.x, head); s.r5 = drop_some(s.r5, query_row + 5, key.x, head);
    s.r6 = drop_some(s.r6, query_row + 6, key.x, head); s.r7 = drop_some(s.r7, query_row + 7, key.x, head);

    o = scaled(o, shrink_a, shrink_b);
    u = scaled(u, shrink_a, shrink_b);
    if (FOURS > 2) {
      y = scaled(y, shrink_a, shrink_b);
      z = scaled(z, shrink_a, shrink_b);
    }
    for (var turn = 0u; turn < min(SUBGROUP * 4u, keys - block); turn++) { // one key, of thread turn / 4
      let giver = turn / 4;
      let v_start = ((first_key + block + turn) * params.v_stride + params.v_offset + head * params.value_dim) / WIDTH;
      let w = Eight(
        vec4f(subgroupShuffle(s.r0.x, giver)), vec4f(subgroupShuffle(s.r1.x, giver)),
        vec4f(subgroupShuffle(s.r2.x, giver)), vec4f(subgroupShuffle(s.r3.x, giver)),
        vec4f(subgroupShuffle(s.r4.x, giver)), vec4f(subgroupShuffle(s.r5.x, giver)),
        vec4f(subgroupShuffle(s.r6.x, giver)), vec4f(subgroupShuffle(s.r7.x, giver)));
      o = weighted(w, v_at(v_start, four), o);
      if (FOURS > 1) { u = weighted(w, v_at(v_start, four + SUBGROUP), u); }
      if (FOURS > 2) {
        y = weighted(w, v_at(v_start, four + 2 * SUBGROUP), y);
        z = weighted(w, v_at(v_start, four + 3 * SUBGROUP), z);
      }
      s = Eight(s.r0.yzwx, s.r1.yzwx, s.r2.yzwx, s.r3.yzwx, s.r4.yzwx, s.r5.yzwx, s.r6.yzwx, s.r7.yzwx);
    }
  }

  var a = reciprocal(subgroup_sum(total_a)); // of the next four rows
  var b = reciprocal(subgroup_sum(total_b));
  let fours = params.value_dim / 4;
  let end = first_query + min(query + QUERIES, queries);
  for (var row = query_row; row < end; row++) {
    if (four == 0) { keep_lse(row * params.heads + head, best_a.x, reciprocal(a).x); }
    let start = (row * params.heads + head) * fours + four;
    if (four < fours) { out[start] = Vec4(o.r0 * a.x); }
    if (FOURS > 1 && four + SUBGROUP < fours) { out[start + SUBGROUP] = Vec4(u.r0 * a.x); }
    if (FOURS > 2 && four + 2 * SUBGROUP < fours) { out[start + 2 * SUBGROUP] = Vec4(y.r0 * a.x); }
    if (FOURS > 2 && four + 3 * SUBGROUP < fours) { out[start + 3 * SUBGROUP] = Vec4(z.r0 * a.x); }
    a = vec4f(a.yzw, b.x); b = b.yzwx; // the next row's
    best_a = vec4f(best_a.yzw, best_b.x); best_b = best_b.yzwx;
    o = shifted(o);
    u = shifted(u);
    y = shifted(y);
    z = shifted(z);
  }
}

fn scaled(o: Eight, a: vec4f, b: vec4f) -> Eight {
  return Eight(o.r0 * a.x, o.r1 * a.y, o.r2 * a.z, o.r3 * a.w, o.r4 * b.x, o.r5 * b.y, o.r6 * b.z, o.r7 * b.w);
}

fn weighted(w: Eight, v: vec4f, o: Eight) -> Eight {
  return Eight(
    fma(w.r0, v, o.r0), fma(w.r1, v, o.r1), fma(w.r2, v, o.r2), fma(w.r3, v, o.r3),
    fma(w.r4, v, o.r4), fma(w.r5, v, o.r5), fma(w.r6, v, o.r6), fma(w.r7, v, o.r7));
}

// The next query first.
fn shifted(o: Eight) -> Eight {
  return Eight(o.r1, o.r2, o.r3, o.r4, o.r5, o.r6, o.r7, o.r7);
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
