// Where x holds a number that is not finite, for each 1,024 of its elements.
//   x    [count]
//   out  [blocks]  of 1,024 elements: 0 where all are finite, else 1,024 less the place of the first that is not
// LANES threads own a block, each every LANES-th four of it. The bits tell: compilers may take it that no float is NaN.
// #import "shared/max_key.wgsl"

alias Scalar = f32;
const WIDTH = 4; // elements that are read at once
const LANES = 64; // threads of a block
const WORKGROUP_SIZE = 64;

struct Params {
  count: u32,
  rows: u32, // blocks
  cols: u32, // 1,024
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Scalar>>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  // Threads past the last block look at it once more, since all must meet at the barriers, and write nothing.
  let row = (group.y * groups.x + group.x) * (WORKGROUP_SIZE / LANES) + lane.thread / LANES;
  let block = min(row, params.rows - 1) * params.cols;
  let end = min(params.count - block, params.cols);
  var key = 0u;
  for (var i = lane.thread % LANES * WIDTH; i < end; i += LANES * WIDTH) {
    let exponents = bitcast<vec4u>(vec4f(x[(block + i) / WIDTH])) & vec4u(0x7f800000u);
    let places = i + vec4u(0, 1, 2, 3);
    let keys = select(vec4u(), params.cols - places, (exponents == vec4u(0x7f800000u)) & (places < vec4u(end)));
    key = max(key, max(max(keys.x, keys.y), max(keys.z, keys.w)));
  }
  key = workgroup_max_key(key, lane);
  if (row < params.rows && lane.thread % LANES == 0) { out[row] = key; }
}
