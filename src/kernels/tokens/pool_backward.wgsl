// The gradient that pool.wgsl passes on to its rows.
//   x           [tokens, hidden]     read if MODE is MAX
//   cu_seqlens  [sequences + 1]      row of x where each sequence begins, and the end of the last
//   tokens      one for each row of x; .w is 0 where the row was left out   read if HAS_MASK
//   d_out       [sequences, hidden]
//   dx          [tokens, hidden]     of a maximum, all to the first of the greatest
// One thread owns one vector of columns of one sequence: neighbours read neighbouring ones. Computes in f32.
// #import "rows/vectors.wgsl"

const WORKGROUP_SIZE = 32;
const HAS_MASK = false;
const MEAN = 0;
const CLS = 1;
const MAX = 2;
const MODE = 0; // one of the above
const LOWEST = -3.4028234e38;

struct Params {
  sequences: u32,
  hidden: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read> cu_seqlens: array<u32>;
@group(0) @binding(2) var<storage, read> tokens: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> d_out: array<Vector>;
@group(0) @binding(4) var<storage, read_write> dx: array<Vector>;
@group(0) @binding(5) var<uniform> params: Params;

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
  let end = cu_seqlens[sequence + 1];
  let d = Sum(d_out[i]);

  var count = 0u;
  var greatest = Sum(LOWEST);
  for (var row = start; MODE != CLS && row < end; row++) {
    if (HAS_MASK && tokens[row].w == 0) { continue; }
    if (MODE == MAX) { greatest = max(greatest, Sum(x[row * vectors + col])); }
    count++;
  }
  var left = d; // of a maximum's gradient, until its place is found
  for (var row = start; row < end; row++) {
    let kept = !HAS_MASK || tokens[row].w != 0;
    var value = Sum();
    if (MODE == MEAN && kept) { value = d / f32(count); }
    if (MODE == CLS && row == start) { value = d; }
    if (MODE == MAX && kept) {
      value = select(Sum(), left, Sum(x[row * vectors + col]) == greatest);
      left = select(left, Sum(), Sum(x[row * vectors + col]) == greatest);
    }
    dx[row * vectors + col] = Vector(value);
  }
}
