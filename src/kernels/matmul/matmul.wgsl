// out = activation(x weight^T + bias) + residual: a Linear layer, its weight as Hugging Face stores it.
//   x         [m, k]   k a multiple of 4; read by x_at
//   weight    [n, k]   read by weight_at
//   bias      [n]      read if HAS_BIAS
//   residual  [m, n]   read if HAS_RESIDUAL
//   out       element [i, j] at i * out_stride + out_offset + j
// One thread owns ROWS x 8 outputs, held in registers. Four weight rows, four k long, are the columns of a matrix:
// one vector-matrix product makes four outputs advance by four k. The accumulators have names because some compilers
// keep an array in memory. One workgroup owns (ROW_THREADS * ROWS) x (COL_THREADS * 8) outputs; its threads share
// operands through the cache. Accumulates in f32.
// #import "matmul/operands_vec4.wgsl"
// #import "matmul/store.wgsl"

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
@group(0) @binding(4) var<storage, read_write> out: array<Scalar>;
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
  let r = min(row + vec4u(0, 1, 2, 3), vec4u(params.m - 1));
  let ca = min(col + vec4u(0, 1, 2, 3), vec4u(params.n - 1));
  let cb = min(col + vec4u(4, 5, 6, 7), vec4u(params.n - 1));
  for (var k = 0u; k < (params.k + 3) / 4; k++) {
    let w0 = mat4x4f(weight_at(ca.x, k), weight_at(ca.y, k), weight_at(ca.z, k), weight_at(ca.w, k));
    let w1 = mat4x4f(weight_at(cb.x, k), weight_at(cb.y, k), weight_at(cb.z, k), weight_at(cb.w, k));
    let x0 = x_at(r.x, k);
    c00 += x0 * w0; c01 += x0 * w1;
    if (ROWS > 1) {
      let x1 = x_at(r.y, k);
      c10 += x1 * w0; c11 += x1 * w1;
      let x2 = x_at(r.z, k);
      c20 += x2 * w0; c21 += x2 * w1;
      let x3 = x_at(r.w, k);
      c30 += x3 * w0; c31 += x3 * w1;
    }
  }

  // A loop of a length that no compiler knows, so that the activation is compiled once and not eight times.
  let sums = array<vec4f, 8>(c00, c01, c10, c11, c20, c21, c30, c31);
  for (var i = 0u; i < min(u32(ROWS), params.m - row) * 2; i++) {
    store(row + i / 2, col + i % 2 * 4, sums[i]);
  }
}
