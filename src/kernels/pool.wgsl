// One row per sequence: the mean or the greatest of its rows of x, column by column, or its first row.
//   x           [tokens, hidden]
//   cu_seqlens  [sequences + 1]  row of x where each sequence begins, and the end of the last
//   tokens      one for each row of x; .w is 0 where the row is left out   read if HAS_MASK
//   out         [sequences, hidden]; zeros where a sequence has no row
// One thread owns one column of one sequence: neighbours read neighbouring columns. Computes in f32.

alias Scalar = f32;
const WORKGROUP_SIZE = 64;
const LANES = WORKGROUP_SIZE;
const HAS_MASK = false;
const MEAN = 0;
const CLS = 1;
const MAX = 2;
const MODE = 0; // one of the above

struct Params {
  sequences: u32,
  hidden: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Scalar>;
@group(0) @binding(1) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(2) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<Scalar>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP_SIZE + lane;
  let sequence = i / params.hidden;
  let col = i % params.hidden;
  if (sequence >= params.sequences) { return; }
  let start = cu_seqlens[sequence];
  var end = cu_seqlens[sequence + 1];
  if (MODE == CLS) { end = min(end, start + 1); }

  var count = 0u;
  var result = 0.0;
  for (var row = start; row < end; row++) {
    if (HAS_MASK && tokens[row].w == 0) { continue; }
    let value = f32(x[row * params.hidden + col]);
    if (MODE == MAX && count > 0) {
      result = greater(result, value);
    } else {
      result += value;
    }
    count++;
  }
  if (MODE == MEAN && count > 0) { result /= f32(count); }
  out[i] = Scalar(result);
}

// NaN counts as the greatest; max() of floats may lose it.
fn greater(a: f32, b: f32) -> f32 {
  return from_order_key(max(order_key(a), order_key(b)));
}
