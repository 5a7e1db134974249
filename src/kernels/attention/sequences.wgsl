// What attention kernels share: which sequence a tile of queries belongs to, which keys a query sees, and their scores.

const LOWEST = -3.4028234e38; // the score of a masked key
const FLOOR = -3.4e38; // the maximum of no keys: so far above it that a masked key weighs 0
const LOG2_E = 1.4426950408889634; // scores are multiplied by it, since exp2 costs less than exp

// Every sequence has a tile more than its queries can fill, so that the grid does not depend on the lengths.
fn first_tile(sequence: u32) -> u32 {
  return cu_seqlens[sequence] / QUERIES + sequence;
}

fn sequence_of(tile: u32) -> u32 {
  var low = 0u;
  var high = params.sequences;
  while (high - low > 1) {
    let middle = (low + high) / 2;
    if (first_tile(middle) <= tile) { low = middle; } else { high = middle; }
  }
  return low;
}

fn kept(row: vec4u) -> vec4<bool> {
  return vec4u(tokens[row.x].w, tokens[row.y].w, tokens[row.z].w, tokens[row.w].w) != vec4u(0);
}

fn causal(key: vec4u, query: u32) -> vec4<bool> {
  return vec4<bool>(!CAUSAL) | (key <= vec4u(query));
}

fn max4(v: vec4f) -> f32 {
  return max(max(v.x, v.y), max(v.z, v.w));
}

fn visible(score: vec4f, seen: vec4<bool>) -> vec4f {
  return select(vec4f(LOWEST), score * (params.scale * LOG2_E), seen);
}
