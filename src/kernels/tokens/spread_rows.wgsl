// The other way round of gather_rows.wgsl: rows of x to their places, zeros everywhere else.
//   x       [*, cols]
//   places  [count]        for each row of out the row of x that goes there, or 0xffffffff: zeros
//   out     [count, cols]
// One thread owns one vector of columns of one row. Nothing is computed.
// #import "rows/vectors.wgsl"

const WORKGROUP_SIZE = 64;

struct Params {
  count: u32,
  cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read> places: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<Vector>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP_SIZE + lane;
  let vectors = params.cols / WIDTH;
  if (i >= params.count * vectors) { return; }
  let place = places[i / vectors];
  var value = Vector();
  if (place != 0xffffffffu) { value = x[place * vectors + i % vectors]; }
  out[i] = value;
}
