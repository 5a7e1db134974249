// Attention of one new token for each row to the tokens of its source.
//   batch      [rows / WIDTH]                          the source of each WIDTH rows, or NOBODY
//   cu_seqlens [sources + 1]                           row of key_value where each source begins, and the end
//   q          [rows, heads * head_dim]
//   key_value  [source tokens, 2 * heads * head_dim]   keys, then values
//   out        [rows, heads * head_dim]                rows that stand empty are left as they are
// One workgroup owns a row and head. Computes in f32.
// #import "generation/batch.wgsl"
// #import "generation/one_query.wgsl"

alias Scalar = f32;

struct Params {
  rows: u32,
  heads: u32,
  head_dim: u32,
  scale: f32,
}

@group(0) @binding(1) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<Scalar>;
@group(0) @binding(3) var<storage, read> key_value: array<Scalar>;
@group(0) @binding(4) var<storage, read_write> out: array<Scalar>;
@group(0) @binding(5) var<uniform> params: Params;

var<private> query: u32; // where it begins
var<private> first_key: u32;
var<private> column: u32; // of the head

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  let item = group.y * groups.x + group.x;
  let row = item / params.heads;
  if (row >= params.rows) { return; }
  let source = batch[row / WIDTH];
  if (source == NOBODY) { return; }
  column = item % params.heads * params.head_dim;
  query = row * params.heads * params.head_dim + column;
  first_key = cu_seqlens[source];
  let keys = cu_seqlens[source + 1] - cu_seqlens[source];
  let result = attend(keys, params.head_dim, params.scale, lane);
  for (var c = 0u; c < COLUMNS; c++) {
    let d = lane.thread + c * WORKGROUP_SIZE;
    if (d < params.head_dim) { out[query + d] = Scalar(result[c]); }
  }
}

fn key_start(key: u32) -> u32 {
  return (first_key + key) * 2 * params.heads * params.head_dim + column;
}

fn q_at(d: u32) -> f32 {
  return f32(q[query + d]);
}

fn k_at(start: u32, d: u32) -> f32 {
  return f32(key_value[start + d]);
}

fn v_at(start: u32, d: u32) -> f32 {
  return f32(key_value[start + params.heads * params.head_dim + d]);
}
