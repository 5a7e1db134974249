// The k greatest of each row, descending, and their columns. Of equals the lowest column comes first, or the highest
// if LAST_INDEX. NaN counts as greater than everything, as in PyTorch; -0 equals 0.
//   x        [rows, cols]
//   values   [rows, k]
//   indices  [rows, k]
// One workgroup owns a row, its threads every WORKGROUP_SIZE-th column. Each thread holds the best of its columns
// that is not taken yet; k times the workgroup takes the best of these, and the thread that held it looks for its
// next.
// #import "shared/order_key.wgsl"

alias Scalar = f32;
const WORKGROUP_SIZE = 64;
const LAST_INDEX = false;

struct Params {
  rows: u32,
  cols: u32,
  k: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Scalar>;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

// A candidate is (key of the value, rank among equals): the greater, the better; (0, 0) is none.
var<workgroup> candidates: array<vec2u, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  var mine = best_below(vec2u(0xffffffffu), row, lane);
  for (var i = 0u; i < params.k; i++) {
    let best = workgroup_best(mine, lane);
    if (all(mine == best)) {
      let col = rank_of(best.y);
      values[row * params.k + i] = f32(x[row * params.cols + col]);
      indices[row * params.k + i] = col;
      mine = best_below(best, row, lane);
    }
  }
}

// The best candidate of this thread's columns that is worse than `bound`.
fn best_below(bound: vec2u, row: u32, lane: u32) -> vec2u {
  var best = vec2u();
  for (var col = lane; col < params.cols; col += WORKGROUP_SIZE) {
    let value = f32(x[row * params.cols + col]);
    let candidate = vec2u(order_key(select(value, 0.0, value == 0.0)), rank_of(col));
    if (is_better(bound, candidate)) { best = better(best, candidate); }
  }
  return best;
}

// Of a column, or back again.
fn rank_of(col: u32) -> u32 {
  return select(~col, col, LAST_INDEX);
}

fn is_better(a: vec2u, b: vec2u) -> bool {
  return a.x > b.x || (a.x == b.x && a.y > b.y);
}

fn better(a: vec2u, b: vec2u) -> vec2u {
  return select(b, a, is_better(a, b));
}

fn workgroup_best(candidate: vec2u, lane: u32) -> vec2u {
  candidates[lane] = candidate;
  for (var width = WORKGROUP_SIZE / 4u; width > 0; width /= 4) {
    workgroupBarrier();
    if (lane < width) {
      let pair = better(candidates[lane + 2 * width], candidates[lane + 3 * width]);
      candidates[lane] = better(better(candidates[lane], candidates[lane + width]), pair);
    }
  }
  workgroupBarrier();
  let best = candidates[0];
  workgroupBarrier(); // the next call writes what others may still be reading
  return best;
}
