// The gradient that row_dots.wgsl passes on.
//   x       [2 * rows, cols]
//   d_dots  [rows]  f32
//   dx      [2 * rows, cols]  each row's is that of its dot times the row of the other half
// One thread owns one vector of columns of one row. Computes in f32.
// #import "rows/vectors.wgsl"

const WORKGROUP_SIZE = 64;

struct Params {
  rows: u32,
  cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read> d_dots: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<Vector>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP_SIZE + lane;
  let vectors = params.cols / WIDTH;
  let half = params.rows * vectors;
  if (i >= 2 * half) { return; }
  let other = select(i - half, i + half, i < half);
  dx[i] = Vector(Sum(x[other]) * d_dots[(i % half) / vectors]);
}
