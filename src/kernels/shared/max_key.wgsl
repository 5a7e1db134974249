// The greatest of u32 keys over LANES threads of a workgroup, which call it as they call the sums of reduce.wgsl.
// #import "shared/lane.wgsl"

var<workgroup> partial_keys: array<u32, WORKGROUP_SIZE>;

fn workgroup_max_key(key: u32, lane: Lane) -> u32 {
  if (LANES == 1) { return key; }
  let thread = lane.thread;
  partial_keys[thread] = key;
  for (var width = LANES / 4u; width > 0; width /= 4) {
    workgroupBarrier();
    if (thread % LANES < width) {
      let pair = max(partial_keys[thread + 2 * width], partial_keys[thread + 3 * width]);
      partial_keys[thread] = max(max(partial_keys[thread], partial_keys[thread + width]), pair);
    }
  }
  workgroupBarrier();
  let greatest = partial_keys[thread / LANES * LANES];
  workgroupBarrier(); // the next call writes what others may still be reading
  return greatest;
}
