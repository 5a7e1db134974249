// Sums over LANES threads of a workgroup, a power of four: four to one each time, because a barrier costs more than an
// addition, most of all on software adapters. Every thread of the workgroup must call; each gets the result of the
// LANES threads it belongs to.
// #import "shared/lane.wgsl"

const_assert LANES == 1 || LANES == 4 || LANES == 16 || LANES == 64 || LANES == 256;
const_assert WORKGROUP_SIZE % LANES == 0;

var<workgroup> partial_sums: array<vec2f, WORKGROUP_SIZE>;

// Two sums at once. Adding in a tree keeps the error to the logarithm of the count.
fn workgroup_sum2(values: vec2f, lane: Lane) -> vec2f {
  if (LANES == 1) { return values; }
  let thread = lane.thread;
  partial_sums[thread] = values;
  for (var width = LANES / 4u; width > 0; width /= 4) {
    workgroupBarrier();
    if (thread % LANES < width) {
      let pair = partial_sums[thread + 2 * width] + partial_sums[thread + 3 * width];
      partial_sums[thread] += partial_sums[thread + width] + pair;
    }
  }
  workgroupBarrier();
  let sums = partial_sums[thread / LANES * LANES];
  workgroupBarrier(); // the next call writes what others may still be reading
  return sums;
}

fn workgroup_sum(value: f32, lane: Lane) -> f32 {
  return workgroup_sum2(vec2f(value, 0.0), lane).x;
}
