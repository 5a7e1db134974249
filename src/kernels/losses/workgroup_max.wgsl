// The greatest over LANES threads of a workgroup, a power of four, which call it as they call the sums of reduce.wgsl.
// #import "shared/lane.wgsl"

var<workgroup> partial_maxima: array<f32, WORKGROUP_SIZE>;

fn workgroup_max(value: f32, lane: Lane) -> f32 {
  if (LANES == 1) { return value; }
  let thread = lane.thread;
  partial_maxima[thread] = value;
  for (var width = LANES / 4u; width > 0; width /= 4) {
    workgroupBarrier();
    if (thread % LANES < width) {
      let pair = max(partial_maxima[thread + 2 * width], partial_maxima[thread + 3 * width]);
      partial_maxima[thread] = max(max(partial_maxima[thread], partial_maxima[thread + width]), pair);
    }
  }
  workgroupBarrier();
  let greatest = partial_maxima[thread / LANES * LANES];
  workgroupBarrier(); // the next call writes what others may still be reading
  return greatest;
}
