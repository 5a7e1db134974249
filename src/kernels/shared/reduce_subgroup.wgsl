// As reduce.wgsl, for subgroups of any size: each adds up by itself, then every thread adds what the subgroups have. So
// two barriers do for any number of threads.
// #import "shared/lane_subgroup.wgsl"

const_assert LANES == WORKGROUP_SIZE;

var<workgroup> partial_sums: array<vec2f, WORKGROUP_SIZE>; // of subgroups, of which there are no more than threads

fn workgroup_sum2(values: vec2f, lane: Lane) -> vec2f {
  var sums = subgroupAdd(values);
  if (lane.place == 0) { partial_sums[lane.subgroup] = sums; }
  workgroupBarrier();
  sums = partial_sums[0];
  for (var i = 1u; i < lane.subgroups; i++) { sums += partial_sums[i]; }
  workgroupBarrier(); // the next call writes what others may still be reading
  return sums;
}

fn workgroup_sum(value: f32, lane: Lane) -> f32 {
  return workgroup_sum2(vec2f(value, 0.0), lane).x;
}
