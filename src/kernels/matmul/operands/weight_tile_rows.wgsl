// weight [n, k] for matrix units: rows lie in workgroup memory as they come, DEPTH of k at a time; zeros past k.

const WEIGHT_STRIDE = DEPTH + PAD;

@group(0) @binding(1) var<storage, read> weight: array<vec4<Scalar>>;

var<workgroup> weight_tile: array<Scalar, TILE_COLS * WEIGHT_STRIDE>; // [column, k]

fn fill_weight(col: u32, k: u32, thread: u32) {
  for (var i = thread; i < TILE_COLS * DEPTH / 4; i += THREADS) {
    let r = i / (DEPTH / 4);
    let four = i % (DEPTH / 4);
    let at = k / 4 + four;
    var values = vec4<Scalar>();
    if (at * 4 < params.k) { values = weight[min(col + r, params.n - 1) * (params.k / 4) + at]; }
    for (var j = 0u; j < 4; j++) { weight_tile[r * WEIGHT_STRIDE + four * 4 + j] = values[j]; }
  }
}

// Of the tile, from column `first` and k `depth` on.
fn weight_matrix(first: u32, depth: u32) -> Right {
  return subgroupMatrixLoad<Right, col_major>(&weight_tile, first * WEIGHT_STRIDE + depth, WEIGHT_STRIDE);
}
