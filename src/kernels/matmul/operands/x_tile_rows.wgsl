// x [m, k] for matrix units: DEPTH of k of each row of the tile; zeros past k.
// #import "matmul/operands/x_whole.wgsl"

@group(0) @binding(0) var<storage, read> x: array<Word>;

fn fill_x(row: u32, k: u32, thread: u32) {
  for (var first = 0u; first < TILE_ROWS * FOURS; first += THREADS) {
    let i = first + thread;
    if (TILE_ROWS * FOURS % THREADS != 0 && i >= TILE_ROWS * FOURS) { break; }
    let r = i / FOURS;
    let chunk = k / 4 + i % FOURS;
    let word = x[x_start(min(row + r, params.m - 1), params.k) / 4 + chunk];
    let place = r % SUBGROUP_ROWS * STRIDE + i % FOURS;
    x_tile[r / SUBGROUP_ROWS][place] = bitcast<Four>(select(Word(), word, chunk < params.k / 4));
  }
}
