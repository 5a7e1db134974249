// out += the sums down the columns of x: the gradient of a bias.
//   x    element [i, j] at i * stride + offset + j; both are multiples of WIDTH
//   out  [cols]  f32
// Threads share columns as columns.wgsl says. Computes in f32.
// #import "rows/columns.wgsl"

struct Params {
  rows: u32,
  cols: u32,
  stride: u32,
  offset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read_write> out: array<Sum>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let column = column_of(group, groups, thread);
  let vectors = params.cols / WIDTH;
  let rows = select(params.rows, 0u, column >= vectors);
  var sum = Sum();
  for (var row = lane_of(thread); row < rows; row += LANES) {
    sum += Sum(x[(row * params.stride + params.offset) / WIDTH + column]);
  }
  sum = column_sum(sum, thread);
  if (lane_of(thread) == 0 && column < vectors) { out[column] += sum; }
}
