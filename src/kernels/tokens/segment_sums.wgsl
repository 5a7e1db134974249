// Sums of rows by segment: how the gradients of an embedding table come about, without atomics, so that every run gives
// the same bits.
//   x        [*, cols]
//   order    [*]             rows of x, those of one segment one after the other
//   starts   [segments + 1]  where each segment begins in order, and the end of the last
//   targets  [segments]      the segment's row of the table that out is, or a part of; of none: it is left out
//   out      [table_rows, cols]  f32, += the sum of the segment's rows if ACCUMULATE, else = that; others stay
// One thread owns one vector of columns of one segment: neighbours read neighbouring ones. Computes in f32.
// #import "rows/vectors.wgsl"

const WORKGROUP_SIZE = 32;
const ACCUMULATE = true;

struct Params {
  segments: u32,
  cols: u32,
  first_row: u32, // of the table, that out begins with
  table_rows: u32, // that out has
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read> targets: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<Sum>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP_SIZE + lane;
  let vectors = params.cols / WIDTH;
  let segment = i / vectors;
  let col = i % vectors;
  if (segment >= params.segments) { return; }
  let target_row = targets[segment] - params.first_row; // of a row before it a great number
  if (target_row >= params.table_rows) { return; }
  var sum = Sum();
  for (var at = starts[segment]; at < starts[segment + 1]; at++) { sum += Sum(x[order[at] * vectors + col]); }
  let place = target_row * vectors + col;
  if (ACCUMULATE) { sum += out[place]; }
  out[place] = sum;
}
