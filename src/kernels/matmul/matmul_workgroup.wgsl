// out = activation(x weight^T + bias) + residual, through tiles in workgroup memory, for GPUs whose caches
// do not do it.
//   x, weight   [m, k], [n, k], k a multiple of 4; read by x_block and weight_block
//   bias, residual, out and Params as in matmul.wgsl
// One workgroup owns TILE_ROWS x TILE_COLS outputs. DEPTH of k at a time, it lays the rows of x and of weight that it
// needs into workgroup memory, transposed, so that a thread then reads four rows at once. One thread owns ROW_FOURS x
// COL_FOURS blocks of 4 x 4 outputs; blocks of one thread lie apart, so that neighbours read neighbouring memory.
// Accumulates in f32. Loads past an edge repeat the last row, and read zeros past k.
// #import "matmul/operands_vec4.wgsl"
// #import "matmul/store.wgsl"

alias Scalar = f32;
const TILE_ROWS = 64;
const TILE_COLS = 64;
const DEPTH = 16;
const ROW_FOURS = 1;
const COL_FOURS = 1;
const ROW_THREADS = TILE_ROWS / 4 / ROW_FOURS;
const COL_THREADS = TILE_COLS / 4 / COL_FOURS;
const THREADS = ROW_THREADS * COL_THREADS;
const HAS_BIAS = false;
const HAS_RESIDUAL = false;
const_assert TILE_ROWS % (4 * ROW_FOURS) == 0 && TILE_COLS % (4 * COL_FOURS) == 0 && DEPTH % 4 == 0;

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

var<workgroup> x_tile: array<vec4<Scalar>, DEPTH * TILE_ROWS / 4>; // [k, fours of rows]
var<workgroup> weight_tile: array<vec4<Scalar>, DEPTH * TILE_COLS / 4>; // [k, fours of columns]

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
  let thread_row = thread / COL_THREADS;
  let thread_col = thread % COL_THREADS;

  var sums: array<vec4f, 4 * ROW_FOURS * COL_FOURS>; // [row four, row of it, column four]
  for (var k = 0u; k < params.k; k += DEPTH) {
    for (var block = thread; block < DEPTH / 4 * TILE_ROWS / 4; block += THREADS) {
      let four = block % (TILE_ROWS / 4);
      let chunk = block / (TILE_ROWS / 4);
      let at = k / 4 + chunk;
      var rows = mat4x4f();
      if (at * 4 < params.k) { rows = transpose(x_block(row + four * 4, at)); }
      for (var j = 0u; j < 4; j++) { x_tile[(chunk * 4 + j) * (TILE_ROWS / 4) + four] = vec4<Scalar>(rows[j]); }
    }
    for (var block = thread; block < DEPTH / 4 * TILE_COLS / 4; block += THREADS) {
      let four = block % (TILE_COLS / 4);
      let chunk = block / (TILE_COLS / 4);
      let at = k / 4 + chunk;
      var rows = mat4x4f();
      if (at * 4 < params.k) { rows = transpose(weight_block(col + four * 4, at)); }
      for (var j = 0u; j < 4; j++) { weight_tile[(chunk * 4 + j) * (TILE_COLS / 4) + four] = vec4<Scalar>(rows[j]); }
    }
    workgroupBarrier();
    for (var depth = 0u; depth < DEPTH; depth++) {
      for (var i = 0u; i < ROW_FOURS; i++) {
        let x4 = vec4f(x_tile[depth * (TILE_ROWS / 4) + i * ROW_THREADS + thread_row]);
        for (var j = 0u; j < COL_FOURS; j++) {
          let w4 = vec4f(weight_tile[depth * (TILE_COLS / 4) + j * COL_THREADS + thread_col]);
          sums[(i * 4 + 0) * COL_FOURS + j] += x4.x * w4;
          sums[(i * 4 + 1) * COL_FOURS + j] += x4.y * w4;
          sums[(i * 4 + 2) * COL_FOURS + j] += x4.z * w4;
          sums[(i * 4 + 3) * COL_FOURS + j] += x4.w * w4;
        }
      }
    }
    workgroupBarrier();
  }

  for (var i = 0u; i < 4 * ROW_FOURS; i++) {
    let out_row = row + (i / 4 * ROW_THREADS + thread_row) * 4 + i % 4;
    for (var j = 0u; j < COL_FOURS; j++) {
      store(out_row, col + (j * COL_THREADS + thread_col) * 4, sums[i * COL_FOURS + j]);
    }
  }
}
