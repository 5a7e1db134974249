// weight [k, n] for matrix units, n a multiple of 4: DEPTH of k at a time lie in workgroup memory as they come; zeros
// past k.

const WEIGHT_STRIDE = TILE_COLS + PAD;

@group(0) @binding(1) var<storage, read> weight: array<vec4<Scalar>>;

var<workgroup> weight_tile: array<Scalar, DEPTH * WEIGHT_STRIDE>; // [k, column]

fn fill_weight(col: u32, k: u32, thread: u32) {
  for (var i = thread; i < DEPTH * TILE_COLS / 4; i += THREADS) {
    let depth = i / (TILE_COLS / 4);
    let four = i % (TILE_COLS / 4);
    var values = vec4<Scalar>();
    if (k + depth < params.k) {
      values = weight[(k + depth) * (params.n / 4) + min(col / 4 + four, params.n / 4 - 1)];
    }
    for (var j = 0u; j < 4; j++) { weight_tile[depth * WEIGHT_STRIDE + four * 4 + j] = values[j]; }
  }
}

// Of the tile, from column `first` and k `depth` on.
fn weight_matrix(first: u32, depth: u32) -> Right {
  return subgroupMatrixLoad<Right, row_major>(&weight_tile, depth * WEIGHT_STRIDE + first, WEIGHT_STRIDE);
}
