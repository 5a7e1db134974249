// Sums over a workgroup of WORKGROUP_SIZE threads, a power of two. Every thread must call; every thread gets the result.

var<workgroup> partial_sums: array<vec2f, WORKGROUP_SIZE>;

// Two sums at once, pairwise: the error grows with the logarithm of the count.
fn workgroup_sum2(values: vec2f, lane: u32) -> vec2f {
  partial_sums[lane] = values;
  for (var width = WORKGROUP_SIZE / 2u; width > 0; width /= 2) {
    workgroupBarrier();
    if (lane < width) { partial_sums[lane] += partial_sums[lane + width]; }
  }
  workgroupBarrier();
  let sums = partial_sums[0];
  workgroupBarrier(); // the next call writes what others may still be reading
  return sums;
}

fn workgroup_sum(value: f32, lane: u32) -> f32 {
  return workgroup_sum2(vec2f(value, 0.0), lane).x;
}
