// x [m, k] for matrix units: rows lie in workgroup memory as they come, DEPTH of k at a time; zeros past k.
// #import "matmul/operands/x_whole.wgsl"

const X_STRIDE = DEPTH + PAD;

@group(0) @binding(0) var<storage, read> x: array<vec4<Scalar>>;

var<workgroup> x_tile: array<Scalar, TILE_ROWS * X_STRIDE>; // [row, k]

fn fill_x(row: u32, k: u32, thread: u32) {
  for (var i = thread; i < TILE_ROWS * DEPTH / 4; i += THREADS) {
    let r = i / (DEPTH / 4);
    let four = i % (DEPTH / 4);
    let at = k / 4 + four;
    var values = vec4<Scalar>();
    if (at * 4 < params.k) { values = x[x_start(min(row + r, params.m - 1), params.k) / 4 + at]; }
    for (var j = 0u; j < 4; j++) { x_tile[r * X_STRIDE + four * 4 + j] = values[j]; }
  }
}

// Of the tile, from row `first` and k `depth` on.
fn x_matrix(first: u32, depth: u32) -> Left {
  return subgroupMatrixLoad<Left, row_major>(&x_tile, first * X_STRIDE + depth, X_STRIDE);
}
