// Sums over a workgroup of WORKGROUP_SIZE threads, a power of four: four to one each time, because a barrier costs
// more than an addition, most of all on software adapters. Every thread must call; every thread gets the result.

const_assert WORKGROUP_SIZE == 4 || WORKGROUP_SIZE == 16 || WORKGROUP_SIZE == 64 || WORKGROUP_SIZE == 256;

var<workgroup> partial_sums: array<vec2f, WORKGROUP_SIZE>;

// Two sums at once. Adding in a tree keeps the error to the logarithm of the count.
fn workgroup_sum2(values: vec2f, lane: u32) -> vec2f {
  partial_sums[lane] = values;
  for (var width = WORKGROUP_SIZE / 4u; width > 0; width /= 4) {
    workgroupBarrier();
    if (lane < width) {
      let pair = partial_sums[lane + 2 * width] + partial_sums[lane + 3 * width];
      partial_sums[lane] += partial_sums[lane + width] + pair;
    }
  }
  workgroupBarrier();
  let sums = partial_sums[0];
  workgroupBarrier(); // the next call writes what others may still be reading
  return sums;
}

fn workgroup_sum(value: f32, lane: u32) -> f32 {
  return workgroup_sum2(vec2f(value, 0.0), lane).x;
}
