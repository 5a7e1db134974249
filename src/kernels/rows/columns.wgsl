// Sums down the columns of a matrix, in the same order at every run. LANES threads of a workgroup own a column of
// vectors, each every LANES-th row of it; neighbouring threads own neighbouring columns. Every thread of the workgroup
// must call `column_sum`; the one whose lane is 0 gets what all of its column had.
// #import "rows/vectors.wgsl"

const LANES = 16; // threads of a column: a power of two
const WORKGROUP_SIZE = 64;
const COLUMNS = WORKGROUP_SIZE / LANES; // of vectors, of a workgroup

var<workgroup> partial_columns: array<Sum, WORKGROUP_SIZE>;

fn column_of(group: vec3u, groups: vec3u, thread: u32) -> u32 {
  return (group.y * groups.x + group.x) * COLUMNS + thread % COLUMNS;
}

fn lane_of(thread: u32) -> u32 {
  return thread / COLUMNS;
}

fn column_sum(sum: Sum, thread: u32) -> Sum {
  if (LANES == 1) { return sum; }
  partial_columns[thread] = sum;
  for (var width = LANES / 2u; width > 0; width /= 2) {
    workgroupBarrier();
    if (lane_of(thread) < width) { partial_columns[thread] += partial_columns[thread + width * COLUMNS]; }
  }
  workgroupBarrier();
  let result = partial_columns[thread];
  workgroupBarrier(); // the next call writes what others may still be reading
  return result;
}
