// out = activation(x weight^T + bias) + residual, with k shared out among the threads of a workgroup: for few rows,
// where whole tiles would leave most of a GPU idle.
//   x, weight   [m, k], [n, k], k a multiple of 4; read by x_block and weight_block
//   bias, residual, out and Params as in matmul.wgsl
// One workgroup owns 4 * ROW_THREADS x 8 * COL_THREADS outputs. One thread makes 4 x 8 of them, over every SPLIT-th
// chunk of four k: neighbours read neighbouring chunks. Their sums meet in workgroup memory. Accumulates in f32.
// #import "matmul/operands_vec4.wgsl"
// #import "matmul/store.wgsl"

alias Scalar = f32;
const ROW_THREADS = 1;
const COL_THREADS = 2;
const SPLIT = 32;
const THREADS = ROW_THREADS * COL_THREADS * SPLIT;
const OWNERS = ROW_THREADS * COL_THREADS; // of outputs; each is SPLIT threads
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

var<workgroup> sums: array<array<vec4f, 8>, THREADS>; // [owner, split]: rows 0-3, columns 0-3 and 4-7 of each

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let tile = group.y * groups.x + group.x;
  let tiles_across = (params.n + COL_THREADS * 8 - 1) / (COL_THREADS * 8);
  let owner = thread / SPLIT;
  let row = (tile / tiles_across * ROW_THREADS + owner / COL_THREADS) * 4;
  let col = (tile % tiles_across * COL_THREADS + owner % COL_THREADS) * 8;

  var c00 = vec4f(); var c01 = vec4f();
  var c10 = vec4f(); var c11 = vec4f();
  var c20 = vec4f(); var c21 = vec4f();
  var c30 = vec4f(); var c31 = vec4f();
  for (var k = thread % SPLIT; k < (params.k + 3) / 4; k += SPLIT) {
    let w0 = weight_block(col, k);
    let w1 = weight_block(col + 4, k);
    let rows = x_block(row, k);
    c00 += rows[0] * w0; c01 += rows[0] * w1;
    c10 += rows[1] * w0; c11 += rows[1] * w1;
    c20 += rows[2] * w0; c21 += rows[2] * w1;
    c30 += rows[3] * w0; c31 += rows[3] * w1;
  }
  sums[thread] = array<vec4f, 8>(c00, c01, c10, c11, c20, c21, c30, c31);
  workgroupBarrier();

  for (var i = thread; i < OWNERS * 8; i += THREADS) {
    let own = i / 8;
    var sum = vec4f();
    for (var part = 0u; part < SPLIT; part++) { sum += sums[own * SPLIT + part][i % 8]; }
    let own_row = (tile / tiles_across * ROW_THREADS + own / COL_THREADS) * 4 + i % 8 / 2;
    let own_col = (tile % tiles_across * COL_THREADS + own % COL_THREADS) * 8 + i % 2 * 4;
    store(own_row, own_col, sum);
  }
}
