// One row per sequence: the mean or the greatest of its rows of x, column by column, or its first row.
//   x           [tokens, hidden]
//   cu_seqlens  [sequences + 1]  row of x where each sequence begins, and the end of the last
//   tokens      one for each row of x; .w is 0 where the row is left out   read if HAS_MASK
//   out         [sequences, hidden]; zeros where a sequence has no row
// One thread owns one vector of columns of one sequence: neighbours read neighbouring ones. Computes in f32.
// #import "shared/order_keys.wgsl"

alias Scalar = f32;
alias Vector = vec4<Scalar>; // Scalar where hidden is not a multiple of 4
alias Sum = vec4f; // f32 there
alias Keys = vec4u; // u32 there
const WIDTH = 4; // of a vector: 1 there
const WORKGROUP_SIZE = 32;
const HAS_MASK = false;
const MEAN = 0;
const CLS = 1;
const MAX = 2;
const MODE = 0; // one of the above

struct Params {
  sequences: u32,
  hidden: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(2) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<Vector>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP_SIZE + lane;
  let vectors = params.hidden / WIDTH;
  let sequence = i / vectors;
  let col = i % vectors;
  if (sequence >= params.sequences) { return; }
  let start = cu_seqlens[sequence];
  var end = cu_seqlens[sequence + 1];
  if (MODE == CLS) { end = min(end, start + 1); }

  var count = 0u;
  var sum = Sum();
  var keys = Keys(); // of the greatest: max() of floats may lose a NaN
  for (var row = start; row < end; row++) {
    if (HAS_MASK && tokens[row].w == 0) { continue; }
    let value = Sum(x[row * vectors + col]);
    if (MODE == MAX) { keys = max(keys, order_keys(value)); } else { sum += value; }
    count++;
  }
  var result = sum;
  if (MODE == MEAN && count > 0) { result /= f32(count); }
  if (MODE == MAX && count > 0) { result = from_order_keys(keys); }
  out[i] = Vector(result);
}
