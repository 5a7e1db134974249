// out = LayerNorm(word[id] + token_type[type] + position[place]) * gamma + beta, one row for each token.
//   tokens      [tokens] of (word id, token type, position, key mask); ids must lie within their tables
//   word        [vocab, cols]; [tokens, cols], already gathered, if GATHERED
//   position    [max positions, cols]
//   token_type  [types, cols]   read if HAS_TOKEN_TYPES
//   gamma       [cols]
//   beta        [cols]
//   out         [tokens, cols]
// LANES threads own a token, each every LANES-th vector of its row. Computes in f32.
// #import "rows/normalize_row.wgsl"

alias Scalar = f32;
alias Vector = vec4<Scalar>; // Scalar where cols is not a multiple of 4
alias Sum = vec4f; // f32 there
const WIDTH = 4; // of a vector: 1 there
const LANES = 64; // threads of a token
const WORKGROUP_SIZE = 64;
const GATHERED = false;
const HAS_TOKEN_TYPES = true;

struct Params {
  rows: u32, // tokens
  cols: u32, // hidden
  eps: f32,
}

@group(0) @binding(0) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> word: array<Vector>;
@group(0) @binding(2) var<storage, read> position: array<Vector>;
@group(0) @binding(3) var<storage, read> token_type: array<Vector>;
@group(0) @binding(4) var<storage, read> gamma: array<Vector>;
@group(0) @binding(5) var<storage, read> beta: array<Vector>;
@group(0) @binding(6) var<storage, read_write> out: array<Vector>;
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  normalize_row((group.y * groups.x + group.x) * (WORKGROUP_SIZE / LANES) + lane.thread / LANES, lane);
}

// Where a token's row begins in each of the tables, in vectors: word, token type, position.
fn starts_of(row: u32, vectors: u32) -> vec3u {
  let token = tokens[row].xyz;
  return vec3u(select(token.x, row, GATHERED), token.yz) * vectors;
}

fn elements(at: vec3u) -> Sum {
  var sum = Sum(word[at.x]);
  if (HAS_TOKEN_TYPES) { sum += Sum(token_type[at.y]); }
  return sum + Sum(position[at.z]);
}
