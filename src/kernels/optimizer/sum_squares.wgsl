// The sum of squares of a flat buffer, as one number for each workgroup: what a norm begins with.
//   x         [count]       f32, count a multiple of 4
//   partials  [workgroups]  at first and on, of a longer list
// A workgroup takes every workgroups-th run of WORKGROUP_SIZE vectors, so that the order never changes.
// #import "shared/reduce.wgsl"

const WORKGROUP_SIZE = 64;
const LANES = WORKGROUP_SIZE;

struct Params {
  count: u32,
  workgroups: u32,
  first: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, lane: Lane) {
  var squares = vec4f();
  for (var i = group.x * WORKGROUP_SIZE + lane.thread; i < params.count / 4; i += params.workgroups * WORKGROUP_SIZE) {
    squares += x[i] * x[i];
  }
  let sum = workgroup_sum(dot(squares, vec4f(1.0)), lane);
  if (lane.thread == 0) { partials[params.first + group.x] = sum; }
}
