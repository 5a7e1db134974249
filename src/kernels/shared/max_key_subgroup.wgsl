// As max_key.wgsl, for subgroups of any size: see reduce_subgroup.wgsl.
// #import "shared/lane_subgroup.wgsl"

var<workgroup> partial_keys: array<u32, WORKGROUP_SIZE>;

fn workgroup_max_key(key: u32, lane: Lane) -> u32 {
  var greatest = subgroupMax(key);
  if (lane.place == 0) { partial_keys[lane.subgroup] = greatest; }
  workgroupBarrier();
  for (var i = 0u; i < lane.subgroups; i++) { greatest = max(greatest, partial_keys[i]); }
  workgroupBarrier(); // the next call writes what others may still be reading
  return greatest;
}
