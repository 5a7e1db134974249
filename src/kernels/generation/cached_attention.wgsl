// Self-attention of one new token for each row, over the keys and values of all that came before it in its sequence.
//   batch     [rows / WIDTH]                           the source of each WIDTH rows, or NOBODY
//   chains    [slots, capacity]                        the slot whose key stands at each place of a slot's sequence
//   qkv       [rows, 3 * heads * head_dim]             of the new tokens
//   cache     [slots * capacity, 2 * heads * head_dim] keys and values by slot and place: new ones are added
//   out       [rows, heads * head_dim]                 rows that stand empty are left as they are
// Beams that go on from another one share its keys: chains change, and the cache never moves.
// One workgroup owns a row and head. Computes in f32.
// #import "generation/batch.wgsl"
// #import "generation/one_query.wgsl"

alias Scalar = f32;

struct Params {
  rows: u32,
  heads: u32,
  head_dim: u32,
  capacity: u32,
  scale: f32,
  step: u32, // the place of the new tokens
}

@group(0) @binding(1) var<storage, read> chains: array<u32>;
@group(0) @binding(2) var<storage, read> qkv: array<Scalar>;
@group(0) @binding(3) var<storage, read_write> cache: array<Scalar>;
@group(0) @binding(4) var<storage, read_write> out: array<Scalar>;
@group(0) @binding(5) var<uniform> params: Params;

var<private> query: u32; // where it begins
var<private> chain: u32; // where the slot's begins
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
  let slot = slot_of(row);
  if (slot == NOBODY) { return; }
  let hidden = params.heads * params.head_dim;
  column = item % params.heads * params.head_dim;
  query = row * 3 * hidden + column;
  chain = slot * params.capacity;
  let own = (chain + params.step) * 2 * hidden + column;
  for (var d = lane.thread; d < params.head_dim; d += WORKGROUP_SIZE) {
    cache[own + d] = qkv[query + hidden + d];
    cache[own + hidden + d] = qkv[query + 2 * hidden + d];
  }
  storageBarrier();
  let result = attend(params.step + 1, params.head_dim, params.scale, lane);
  for (var c = 0u; c < COLUMNS; c++) {
    let d = lane.thread + c * WORKGROUP_SIZE;
    if (d < params.head_dim) { out[row * hidden + column + d] = Scalar(result[c]); }
  }
}

fn key_start(key: u32) -> u32 {
  let cell = chains[chain + key] * params.capacity + key;
  return cell * 2 * params.heads * params.head_dim + column;
}

fn q_at(d: u32) -> f32 {
  return f32(qkv[query + d]);
}

fn k_at(start: u32, d: u32) -> f32 {
  return f32(cache[start + d]);
}

fn v_at(start: u32, d: u32) -> f32 {
  return f32(cache[start + params.heads * params.head_dim + d]);
}
