// out = activation(x weight^T + bias) + residual: a Linear layer, its weight as Hugging Face stores it.
//   x         [m, k]   k a multiple of 4; read by x_block
//   weight    [n, k]   read by weight_block
//   bias      [n]      read if HAS_BIAS
//   residual  [m, n]   read if HAS_RESIDUAL
//   out       element [i, j] at i * out_stride + out_offset + j
// One thread owns ROWS x 8 outputs, held in registers. A block of weight, four outputs by four k, is a matrix: one
// vector-matrix product makes four outputs advance by four k. The accumulators have names because some compilers
// keep an array in memory. One workgroup owns (ROW_THREADS * ROWS) x (COL_THREADS * 8) outputs; its threads share
// operands through the cache. Accumulates in f32.
// #import "matmul/operands_vec4.wgsl"
// #import "matmul/store.wgsl"

alias Scalar = f32;
const ROWS = 4; // outputs of a thread along m: 4, or 1 where x is a single row
const ROW_THREADS = 16;
const COL_THREADS = 4;
const HAS_BIAS = false;
const HAS_RESIDUAL = false;

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

@compute @workgroup_size(COL_THREADS, ROW_THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
) {
  // Down the rows first: a large weight, such as a vocabulary's, then passes through the cache once.
  let tile = group.y * groups.x + group.x;
  let tiles_down = (params.m + ROW_THREADS * ROWS - 1) / (ROW_THREADS * ROWS);
  let row = (tile % tiles_down * ROW_THREADS + lane.y) * ROWS;
  let col = (tile / tiles_down * COL_THREADS + lane.x) * 8;
  if (row >= params.m || col >= params.n) { return; }

  var c00 = vec4f(); var c01 = vec4f(); // row 0: columns 0-3, 4-7
  var c10 = vec4f(); var c11 = vec4f();
  var c20 = vec4f(); var c21 = vec4f();
  var c30 = vec4f(); var c31 = vec4f();
  // Loads past the edge repeat the last row; what they make is never stored.
  for (var k = 0u; k < (params.k + 3) / 4; k++) {
    let w0 = weight_block(col, k);
    let w1 = weight_block(col + 4, k);
    let rows = x_block(row, k);
    c00 += rows[0] * w0; c01 += rows[0] * w1;
    if (ROWS > 1) {
      c10 += rows[1] * w0; c11 += rows[1] * w1;
      c20 += rows[2] * w0; c21 += rows[2] * w1;
      c30 += rows[3] * w0; c31 += rows[3] * w1;
    }
  }

  // A loop of a length that no compiler knows, so that the activation is compiled once and not eight times.
  let sums = array<vec4f, 8>(c00, c01, c10, c11, c20, c21, c30, c31);
  for (var i = 0u; i < min(u32(ROWS), params.m - row) * 2; i++) {
    store(row + i / 2, col + i % 2 * 4, sums[i]);
  }
}
