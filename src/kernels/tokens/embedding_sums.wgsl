// out = word[id] + position[p] + token_type[t], before the normalisation that embed_layernorm.wgsl does at once, since
// training goes back through both.
//   tokens      [count]         word id, token type, position, key mask
//   word        [vocab, cols]   or [count, cols], a row for each token, if GATHERED
//   position    [positions, cols]
//   token_type  [types, cols]
//   out         [count, cols]
// One thread owns one vector of columns of one token. Computes in f32.
// #import "rows/vectors.wgsl"

const WORKGROUP_SIZE = 64;
const GATHERED = false;

struct Params {
  count: u32,
  cols: u32,
}

@group(0) @binding(0) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> word: array<Vector>;
@group(0) @binding(2) var<storage, read> position: array<Vector>;
@group(0) @binding(3) var<storage, read> token_type: array<Vector>;
@group(0) @binding(4) var<storage, read_write> out: array<Vector>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP_SIZE + lane;
  let vectors = params.cols / WIDTH;
  if (i >= params.count * vectors) { return; }
  let token = tokens[i / vectors];
  let col = i % vectors;
  let row = select(token.x, i / vectors, GATHERED);
  let sum = Sum(word[row * vectors + col]) + Sum(position[token.z * vectors + col]);
  out[i] = Vector(sum + Sum(token_type[token.y * vectors + col]));
}
