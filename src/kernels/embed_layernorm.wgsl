// out = LayerNorm(word[id] + token_type[type] + position[place]) * gamma + beta, one row for each token.
//   tokens      [tokens] of (word id, token type, position, key mask); ids must lie within their tables
//   word        [vocab, cols]; [tokens, cols], already gathered, if GATHERED
//   position    [max positions, cols]
//   token_type  [types, cols]   read if HAS_TOKEN_TYPES
//   gamma       [cols]
//   beta        [cols]
//   out         [tokens, cols]
// One workgroup owns a token, its threads every WORKGROUP_SIZE-th column. Computes in f32.
// Joined with shared/normalize_row.wgsl and shared/reduce.wgsl.

alias Scalar = f32;
const WORKGROUP_SIZE = 64;
const GATHERED = false;
const HAS_TOKEN_TYPES = true;

struct Params {
  rows: u32, // tokens
  cols: u32, // hidden
  eps: f32,
}

@group(0) @binding(0) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> word: array<Scalar>;
@group(0) @binding(2) var<storage, read> position: array<Scalar>;
@group(0) @binding(3) var<storage, read> token_type: array<Scalar>;
@group(0) @binding(4) var<storage, read> gamma: array<Scalar>;
@group(0) @binding(5) var<storage, read> beta: array<Scalar>;
@group(0) @binding(6) var<storage, read_write> out: array<Scalar>;
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  normalize_row(row, lane);
}

fn element(row: u32, col: u32) -> f32 {
  let token = tokens[row];
  let word_row = select(token.x, row, GATHERED);
  var sum = f32(word[word_row * params.cols + col]);
  if (HAS_TOKEN_TYPES) { sum += f32(token_type[token.y * params.cols + col]); }
  return sum + f32(position[token.z * params.cols + col]);
}
