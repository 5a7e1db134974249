// x [k, m] for matrix units, m a multiple of 4: DEPTH of k of each row of x^T in the tile; zeros past k. Blocks of
// 4 x 4 are transposed on their way.
// #import "matmul/operands/x_range.wgsl"

@group(0) @binding(0) var<storage, read> x: array<Word>;

fn fill_x(row: u32, k: u32, thread: u32) {
  for (var first = 0u; first < TILE_ROWS / 4 * FOURS; first += THREADS) {
    let i = first + thread;
    if (TILE_ROWS / 4 * FOURS % THREADS != 0 && i >= TILE_ROWS / 4 * FOURS) { break; }
    let r = i / FOURS * 4;
    let start = min(row + r, params.m - 4);
    var block: mat4x4<Scalar>;
    for (var j = 0u; j < 4; j++) {
      let at = k + i % FOURS * 4 + j;
      block[j] = bitcast<Four>(select(Word(), x[(x_start(at, params.m) + start) / 4], at < params.k));
    }
    block = transpose(block);
    for (var j = 0u; j < 4; j++) { x_tile[r / SUBGROUP_ROWS][(r % SUBGROUP_ROWS + j) * STRIDE + i % FOURS] = block[j]; }
  }
}
