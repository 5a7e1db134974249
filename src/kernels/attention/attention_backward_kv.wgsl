// The gradients of k and v in out = softmax(q k^T * scale) v, for every head, each sequence by itself, without padding:
// d_k = scale * g^T q and d_v = p^T d_out, with g = p * (d_out v^T - delta), p = exp(q k^T * scale - lse)
//   qkv         head h of row r: of q from element r * stride + q_offset + h * head_dim; of k and v the same with
//               k_offset, v_offset; all of these multiples of 4
//   d_out       [tokens, heads * head_dim]
//   lse         [tokens, heads]  log(sum(exp(q k^T * scale))) as attention_training gave it
//   delta       [tokens, heads]  as attention_backward_q gave it
//   cu_seqlens  [sequences + 1]  row where each sequence begins, and the end of the last
//   tokens      one for each row; .w is 0 where the key is masked   read if HAS_MASK
//   d_kv        written where k and v lie in qkv, so that one buffer takes the gradients of q, k and v
// With dropout, p is multiplied by what the forward pass drew, in d_v and in its own gradient.
// One workgroup owns 16 keys of one sequence and head, and up to 4 * GROUPS columns. It takes the queries in blocks of
// 4 * GROUPS, whose probabilities never leave it. One thread owns 4 keys: against 4 queries while these are made, on 4
// columns while they are used. Computes in f32.
// #import "attention/backward_params.wgsl"
// #import "attention/backward_vec4.wgsl"
// #import "attention/dropped.wgsl"
// #import "attention/sequences.wgsl"

const GROUPS = 16; // threads for each four keys
const WORKGROUP_SIZE = GROUPS * 4;
const QUERIES = 16; // of a tile, which here are keys
const HAS_MASK = false;
const CAUSAL = false; // a query sees the keys up to its own place in the sequence

@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(5) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> d_kv: array<Scalar>;
@group(0) @binding(7) var<uniform> params: Params;

// Probabilities, and gradients of scores, of a thread's four queries, for each of its four keys.
var<workgroup> weights: array<array<vec4f, 4>, WORKGROUP_SIZE>;
var<workgroup> gradients: array<array<vec4f, 4>, WORKGROUP_SIZE>;

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

  let quad = lane % 4; // which four keys
  let group = lane / 4; // which four queries of a block, and which four columns
  let column = (slice * GROUPS + group) * 4;
  let has_column = column < params.head_dim;
  let in_head = head * params.head_dim;
  let hidden = params.heads * params.head_dim;
  let key = tile_start + quad * 4 + vec4u(0, 1, 2, 3); // counted in the sequence, as queries are
  let key_row = first + min(key, vec4u(length - 1));
  let k_start = key_row * params.stride + params.k_offset + in_head;
  let v_start = key_row * params.stride + params.v_offset + in_head;
  var unmasked = vec4<bool>(true);
  if (HAS_MASK) { unmasked = kept(key_row); }

  var k0 = vec4f(); var k1 = vec4f(); var k2 = vec4f(); var k3 = vec4f();
  var v0 = vec4f(); var v1 = vec4f(); var v2 = vec4f(); var v3 = vec4f();
  for (var block = select(0, tile_start, CAUSAL); block < length; block += GROUPS * 4) {
    let query = block + group * 4 + vec4u(0, 1, 2, 3);
    let row = first + min(query, vec4u(length - 1));
    let q_start = row * params.stride + params.q_offset + in_head;
    let d_start = row * hidden + in_head;
    let of_row = row * params.heads + head;
    let row_lse = vec4f(lse[of_row.x], lse[of_row.y], lse[of_row.z], lse[of_row.w]) * LOG2_E;
    let row_delta = vec4f(delta[of_row.x], delta[of_row.y], delta[of_row.z], delta[of_row.w]);
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    for (var d = 0u; d < params.head_dim; d += 4) {
      let query4 = qkv_fours(q_start, d);
      s0 += qkv_at(k_start.x, d) * query4;
      s1 += qkv_at(k_start.y, d) * query4;
      s2 += qkv_at(k_start.z, d) * query4;
      s3 += qkv_at(k_start.w, d) * query4;
    }
    var g0 = vec4f(); var g1 = vec4f(); var g2 = vec4f(); var g3 = vec4f(); // gradients of probabilities
    for (var d = 0u; d < params.head_dim; d += 4) {
      let d_out4 = d_out_fours(d_start, d);
      g0 += qkv_at(v_start.x, d) * d_out4;
      g1 += qkv_at(v_start.y, d) * d_out4;
      g2 += qkv_at(v_start.z, d) * d_out4;
      g3 += qkv_at(v_start.w, d) * d_out4;
    }
    let inside = query < vec4u(length);
    let p0 = weight(s0, row_lse, inside & sees(query, key.x, unmasked.x));
    let p1 = weight(s1, row_lse, inside & sees(query, key.y, unmasked.y));
    let p2 = weight(s2, row_lse, inside & sees(query, key.z, unmasked.z));
    let p3 = weight(s3, row_lse, inside & sees(query, key.w, unmasked.w));
    var keep = mat4x4f(vec4f(1), vec4f(1), vec4f(1), vec4f(1)); // by key, of the four queries
    if (DROPS) {
      keep = transpose(mat4x4f(
        dropped(vec4f(1), keeps(row.x, key.x, head)), dropped(vec4f(1), keeps(row.y, key.x, head)),
        dropped(vec4f(1), keeps(row.z, key.x, head)), dropped(vec4f(1), keeps(row.w, key.x, head)),
      ));
    }
    weights[lane] = array<vec4f, 4>(p0 * keep[0], p1 * keep[1], p2 * keep[2], p3 * keep[3]);
    gradients[lane] = array<vec4f, 4>(
      p0 * (g0 * keep[0] - row_delta), p1 * (g1 * keep[1] - row_delta),
      p2 * (g2 * keep[2] - row_delta), p3 * (g3 * keep[3] - row_delta),
    );
    workgroupBarrier();
    let filled = min(u32(GROUPS), (length - block + 3) / 4);
    for (var g = 0u; g < filled && has_column; g++) {
      let row = first + min(block + g * 4 + vec4u(0, 1, 2, 3), vec4u(length - 1));
      let source = g * 4 + quad;
      let d_out4 = d_out_fours(row * hidden + in_head, column);
      v0 += d_out4 * weights[source][0];
      v1 += d_out4 * weights[source][1];
      v2 += d_out4 * weights[source][2];
      v3 += d_out4 * weights[source][3];
      let query4 = qkv_fours(row * params.stride + params.q_offset + in_head, column);
      k0 += query4 * gradients[source][0];
      k1 += query4 * gradients[source][1];
      k2 += query4 * gradients[source][2];
      k3 += query4 * gradients[source][3];
    }
    workgroupBarrier(); // the next block's weights
  }

  if (!has_column) { return; }
  let dk = array<vec4f, 4>(k0 * params.scale, k1 * params.scale, k2 * params.scale, k3 * params.scale);
  let dv = array<vec4f, 4>(v0, v1, v2, v3);
  for (var i = 0u; i < 4 && key[i] < length; i++) {
    for (var j = 0u; j < min(4u, params.head_dim - column); j++) {
      d_kv[k_start[i] + column + j] = Scalar(dk[i][j]);
      d_kv[v_start[i] + column + j] = Scalar(dv[i][j]);
    }
  }
}

fn sees(query: vec4u, key: u32, unmasked: bool) -> vec4<bool> {
  return vec4<bool>(unmasked) & (vec4<bool>(!CAUSAL) | (query >= vec4u(key)));
}

fn weight(score: vec4f, row_lse: vec4f, seen: vec4<bool>) -> vec4f {
  return select(vec4f(), exp2(score * (params.scale * LOG2_E) - row_lse), seen);
}
