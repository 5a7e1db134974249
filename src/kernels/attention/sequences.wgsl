// What attention kernels share: which sequence a tile of queries belongs to, and which keys a query sees.

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
