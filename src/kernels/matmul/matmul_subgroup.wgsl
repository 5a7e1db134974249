// out = activation(x weight^T + bias) + residual on the matrix units of a GPU (tensor cores), through workgroup memory.
//   x, weight   [m, k], [n, k], k a multiple of 4; in vec4s
//   bias, residual, out and Params as in matmul.wgsl
// One workgroup of SUBGROUPS_DOWN x SUBGROUPS_ACROSS subgroups owns TILE_ROWS x TILE_COLS outputs; one subgroup owns
// MATRICES_DOWN x MATRICES_ACROSS matrices of MATRIX_ROWS x MATRIX_COLS. DEPTH of k at a time lies in workgroup memory,
// of rows of x and of columns of weight^T alike, in vec4s: a thread's share of a matrix is then a load or two. Products
// of Scalar, sums of f32: in f16 sums BERT loses its answers. No element of a subgroup matrix can be touched, so the
// sums go by workgroup memory to the threads that store them. Loads past an edge repeat the last row, and read zeros
// past k.
// #import "matmul/operands/x_tile_rows.wgsl"
// #import "matmul/operands/weight_tile_rows.wgsl"
// #import "matmul/store.wgsl"
enable chromium_experimental_subgroup_matrix;
// What is uniform in a subgroup (its number, from the thread's) the compiler does not see.
diagnostic(off, chromium.subgroup_matrix_uniformity);

alias Scalar = f32;
alias Four = vec4<Scalar>;
alias Word = vec4<u32>; // its bits: vec2<u32> of f16
const MATRIX_ROWS = 8; // multiples of 4, these three
const MATRIX_COLS = 8;
const MATRIX_DEPTH = 8;
const SUBGROUP = 32; // the adapter's largest subgroup
const SUBGROUPS_DOWN = 2;
const SUBGROUPS_ACROSS = 2;
const MATRICES_DOWN = 4;
const MATRICES_ACROSS = 4;
const DEPTH = 16; // a multiple of MATRIX_DEPTH
const PAD = 4; // between rows in workgroup memory, so that they start in different banks
const SUBGROUP_ROWS = MATRICES_DOWN * MATRIX_ROWS;
const SUBGROUP_COLS = MATRICES_ACROSS * MATRIX_COLS;
const TILE_ROWS = SUBGROUPS_DOWN * SUBGROUP_ROWS;
const TILE_COLS = SUBGROUPS_ACROSS * SUBGROUP_COLS;
const THREADS = SUBGROUPS_DOWN * SUBGROUPS_ACROSS * SUBGROUP;
const FOURS = DEPTH / 4;
const STRIDE = FOURS + PAD / 4;
const HAS_BIAS = false;
const HAS_RESIDUAL = false;

alias Left = subgroup_matrix_left<Scalar, MATRIX_DEPTH, MATRIX_ROWS>;
alias Right = subgroup_matrix_right<Scalar, MATRIX_COLS, MATRIX_DEPTH>;
alias Sums = subgroup_matrix_result<f32, MATRIX_COLS, MATRIX_ROWS>;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  out_stride: u32,
  out_offset: u32,
  activated: u32, // whether ACTIVATION applies
}

@group(0) @binding(2) var<storage, read> bias: array<Scalar>;
@group(0) @binding(3) var<storage, read> residual: array<Scalar>;
@group(0) @binding(5) var<uniform> params: Params;

// [subgroup, row or column of it, k]: a load of a matrix is then from a constant place, which needs no check.
var<workgroup> x_tile: array<array<Four, SUBGROUP_ROWS * STRIDE>, SUBGROUPS_DOWN>;
var<workgroup> weight_tile: array<array<Four, SUBGROUP_COLS * STRIDE>, SUBGROUPS_ACROSS>;
var<workgroup> sums_tile: array<array<vec4f, MATRIX_ROWS * MATRIX_COLS / 4>, SUBGROUPS_DOWN * SUBGROUPS_ACROSS>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let tile = group.y * groups.x + group.x;
  let tiles_across = (params.n + TILE_COLS - 1) / TILE_COLS;
  let row = tile / tiles_across * TILE_ROWS;
  let col = tile % tiles_across * TILE_COLS;
  let subgroup = thread / SUBGROUP;
  let down = subgroup / SUBGROUPS_ACROSS; // of the tile
  let across = subgroup % SUBGROUPS_ACROSS;

  var sums: array<array<Sums, MATRICES_ACROSS>, MATRICES_DOWN>;
  for (var k = 0u; k < params.k; k += DEPTH) {
    fill_x(row, k, thread);
    fill_weight(col, k, thread);
    workgroupBarrier();
    for (var depth = 0u; depth < DEPTH; depth += MATRIX_DEPTH) {
      var rights: array<Right, MATRICES_ACROSS>;
      for (var j = 0u; j < MATRICES_ACROSS; j++) {
        let at = j * MATRIX_COLS * STRIDE + depth / 4;
        rights[j] = subgroupMatrixLoad<Right, col_major>(&weight_tile[across], at, STRIDE);
      }
      for (var i = 0u; i < MATRICES_DOWN; i++) {
        let at = i * MATRIX_ROWS * STRIDE + depth / 4;
        let left = subgroupMatrixLoad<Left, row_major>(&x_tile[down], at, STRIDE);
        for (var j = 0u; j < MATRICES_ACROSS; j++) {
          sums[i][j] = subgroupMatrixMultiplyAccumulate(left, rights[j], sums[i][j]);
        }
      }
    }
    workgroupBarrier();
  }

  // A matrix at a time. The loop's end is unknown to the compiler, or it would write the activation out for each.
  let rows = min(u32(MATRICES_DOWN), (params.m - row + MATRIX_ROWS - 1) / MATRIX_ROWS);
  for (var turn = 0u; turn < rows * MATRICES_ACROSS; turn++) {
    for (var i = 0u; i < MATRICES_DOWN; i++) {
      for (var j = 0u; j < MATRICES_ACROSS; j++) {
        if (i * MATRICES_ACROSS + j == turn) {
          subgroupMatrixStore<row_major>(&sums_tile[subgroup], 0, sums[i][j], MATRIX_COLS / 4);
        }
      }
    }
    workgroupBarrier();
    let r = row + down * SUBGROUP_ROWS + turn / MATRICES_ACROSS * MATRIX_ROWS;
    let c = col + across * SUBGROUP_COLS + turn % MATRICES_ACROSS * MATRIX_COLS;
    for (var i = thread % SUBGROUP; i < MATRIX_ROWS * MATRIX_COLS / 4; i += SUBGROUP) {
      store(r + i / (MATRIX_COLS / 4), c + i % (MATRIX_COLS / 4) * 4, sums_tile[subgroup][i]);
    }
    workgroupBarrier();
  }
}
