// weight [n, k] for matrix units: DEPTH of k of each column of the tile; zeros past k.

@group(0) @binding(1) var<storage, read> weight: array<Word>;

fn fill_weight(col: u32, k: u32, thread: u32) {
  for (var first = 0u; first < TILE_COLS * FOURS; first += THREADS) {
    let i = first + thread;
    if (TILE_COLS * FOURS % THREADS != 0 && i >= TILE_COLS * FOURS) { break; }
    let r = i / FOURS;
    let chunk = k / 4 + i % FOURS;
    let word = weight[min(col + r, params.n - 1) * (params.k / 4) + chunk];
    let place = r % SUBGROUP_COLS * STRIDE + i % FOURS;
    weight_tile[r / SUBGROUP_COLS][place] = bitcast<Four>(select(Word(), word, chunk < params.k / 4));
  }
}
