// x, of which all but a few blocks become 0, in place: of the columns [i * width, (i + 1) * width) the rows
// [b * height, (b + 1) * height) stay, b being the i-th of `first`, `second`, `third`.
//   x  [rows, cols]  f32; cols is at most 3 * width
// One thread owns an element.

const WORKGROUP_SIZE = 64;

struct Params {
  count: u32, // rows * cols
  cols: u32,
  width: u32,
  height: u32,
  first: u32,
  second: u32,
  third: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP_SIZE + thread;
  if (i >= params.count) { return; }
  let down = i / params.cols / params.height;
  let across = i % params.cols / params.width;
  let kept = select(select(params.third, params.second, across == 1), params.first, across == 0);
  if (down != kept) { x[i] = 0; }
}
