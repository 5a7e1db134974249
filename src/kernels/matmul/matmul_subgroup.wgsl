// out = activation(x weight^T + bias) + residual on the matrix units of a GPU (tensor cores), through workgroup memory.
//   x, weight   [m, k], [n, k], k a multiple of 4; in vec4s
//   bias, residual, out and Params as in matmul.wgsl
// One workgroup of SUBGROUPS_DOWN x SUBGROUPS_ACROSS subgroups owns TILE_ROWS x TILE_COLS outputs; one subgroup owns
// MATRICES_DOWN x MATRICES_ACROSS matrices of MATRIX_ROWS x MATRIX_COLS. DEPTH of k at a time lies in workgroup memory:
// rows of x and of weight as they come, so that weight^T is a column-major matrix. Products of Scalar, sums of f32: in
// f16 sums BERT loses its answers. No element of a subgroup matrix can be touched, so the sums go by workgroup memory
// to the threads that store them. Loads past an edge repeat the last row, and read zeros past k.
// #import "matmul/operands/x_tile_rows.wgsl"
// #import "matmul/operands/weight_tile_rows.wgsl"
// #import "matmul/store.wgsl"
enable chromium_experimental_subgroup_matrix;
// What is uniform in a subgroup (its number, from the thread's) the compiler does not see.
diagnostic(off, chromium.subgroup_matrix_uniformity);

alias Scalar = f32;
const MATRIX_ROWS = 8;
const MATRIX_COLS = 8;
const MATRIX_DEPTH = 8;
const SUBGROUP = 32; // the adapter's largest subgroup
const SUBGROUPS_DOWN = 2;
const SUBGROUPS_ACROSS = 2;
const MATRICES_DOWN = 4;
const MATRICES_ACROSS = 4;
const DEPTH = 16;
const PAD = 4; // between rows in workgroup memory, so that they start in different banks
const SUBGROUP_COLS = MATRICES_ACROSS * MATRIX_COLS;
const TILE_ROWS = SUBGROUPS_DOWN * MATRICES_DOWN * MATRIX_ROWS;
const TILE_COLS = SUBGROUPS_ACROSS * SUBGROUP_COLS;
const THREADS = SUBGROUPS_DOWN * SUBGROUPS_ACROSS * SUBGROUP;
const HAS_BIAS = false;
const HAS_RESIDUAL = false;
const_assert DEPTH % MATRIX_DEPTH == 0 && DEPTH % 4 == 0 && MATRIX_COLS % 4 == 0;

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

var<workgroup> sums_tile: array<f32, SUBGROUPS_DOWN * MATRIX_ROWS * TILE_COLS>; // [subgroup, row, column of it]

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
  let down = subgroup / SUBGROUPS_ACROSS * MATRICES_DOWN * MATRIX_ROWS; // of the tile
  let across = subgroup % SUBGROUPS_ACROSS * SUBGROUP_COLS;

  var sums: array<array<Sums, MATRICES_ACROSS>, MATRICES_DOWN>;
  for (var k = 0u; k < params.k; k += DEPTH) {
    fill_x(row, k, thread);
    fill_weight(col, k, thread);
    workgroupBarrier();
    for (var depth = 0u; depth < DEPTH; depth += MATRIX_DEPTH) {
      var rights: array<Right, MATRICES_ACROSS>;
      for (var j = 0u; j < MATRICES_ACROSS; j++) {
        rights[j] = weight_matrix(across + j * MATRIX_COLS, depth);
      }
      for (var i = 0u; i < MATRICES_DOWN; i++) {
        let left = x_matrix(down + i * MATRIX_ROWS, depth);
        for (var j = 0u; j < MATRICES_ACROSS; j++) {
          sums[i][j] = subgroupMatrixMultiplyAccumulate(left, rights[j], sums[i][j]);
        }
      }
    }
    workgroupBarrier();
  }

  // A row of its matrices at a time: wide stores, two barriers for each.
  let own = subgroup * MATRIX_ROWS * SUBGROUP_COLS;
  for (var i = 0u; i < MATRICES_DOWN; i++) {
    for (var j = 0u; j < MATRICES_ACROSS; j++) {
      subgroupMatrixStore<row_major>(&sums_tile, own + j * MATRIX_COLS, sums[i][j], SUBGROUP_COLS);
    }
    workgroupBarrier();
    for (var four = thread % SUBGROUP; four < MATRIX_ROWS * SUBGROUP_COLS / 4; four += SUBGROUP) {
      let r = four / (SUBGROUP_COLS / 4);
      let c = four % (SUBGROUP_COLS / 4) * 4;
      let at = own + four * 4;
      let y = vec4f(sums_tile[at], sums_tile[at + 1], sums_tile[at + 2], sums_tile[at + 3]);
      store(row + down + i * MATRIX_ROWS + r, col + across + c, y);
    }
    workgroupBarrier();
  }
}
