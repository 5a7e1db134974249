// x [k, m] for matrix units, m a multiple of 4: DEPTH of k at a time lie in workgroup memory as they come; zeros
// past k.
// #import "matmul/operands/x_range.wgsl"

const X_STRIDE = TILE_ROWS + PAD;

@group(0) @binding(0) var<storage, read> x: array<vec4<Scalar>>;

var<workgroup> x_tile: array<Scalar, DEPTH * X_STRIDE>; // [k, row]

fn fill_x(row: u32, k: u32, thread: u32) {
  for (var i = thread; i < DEPTH * TILE_ROWS / 4; i += THREADS) {
    let depth = i / (TILE_ROWS / 4);
    let four = i % (TILE_ROWS / 4);
    var values = vec4<Scalar>();
    if (k + depth < params.k) {
      values = x[x_start(k + depth, params.m) / 4 + min(row / 4 + four, params.m / 4 - 1)];
    }
    for (var j = 0u; j < 4; j++) { x_tile[depth * X_STRIDE + four * 4 + j] = values[j]; }
  }
}

// Of the tile, from row `first` and k `depth` on.
fn x_matrix(first: u32, depth: u32) -> Left {
  return subgroupMatrixLoad<Left, col_major>(&x_tile, depth * X_STRIDE + first, X_STRIDE);
}
