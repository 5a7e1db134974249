// weight [k, n] for matrix units, n a multiple of 4: DEPTH of k of each column of the tile; zeros past k. Blocks of
// 4 x 4 are transposed on their way.

@group(0) @binding(1) var<storage, read> weight: array<Word>;

fn fill_weight(col: u32, k: u32, thread: u32) {
  for (var first = 0u; first < TILE_COLS / 4 * FOURS; first += THREADS) {
    let i = first + thread;
    if (TILE_COLS / 4 * FOURS % THREADS != 0 && i >= TILE_COLS / 4 * FOURS) { break; }
    let c = i / FOURS * 4;
    let start = min(col + c, params.n - 4) / 4;
    var block: mat4x4<Scalar>;
    for (var j = 0u; j < 4; j++) {
      let at = k + i % FOURS * 4 + j;
      block[j] = bitcast<Four>(select(Word(), weight[at * (params.n / 4) + start], at < params.k));
    }
    block = transpose(block);
    for (var j = 0u; j < 4; j++) {
      weight_tile[c / SUBGROUP_COLS][(c % SUBGROUP_COLS + j) * STRIDE + i % FOURS] = block[j];
    }
  }
}
