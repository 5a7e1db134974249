// out = activation(x weight^T + bias) + residual, rows of x passed from thread to thread within a subgroup.
//   x         [m, k]   vec4s, k a multiple of 4
//   weight    [n, k]   vec4s
//   bias, residual, out and Params as in matmul.wgsl
// One workgroup, which is one subgroup of SUBGROUP threads, owns 16 rows by SUBGROUP * 4 * FOURS columns; one thread
// its 16 by 4 * FOURS, held in registers. A thread loads four k of 16 / SUBGROUP rows and of its own columns; each row
// then reaches all threads by a broadcast. So a load serves many more products than a thread could make of it alone,
// which is what counts where a load costs more than arithmetic: on a CPU that plays GPU. Accumulates in f32.
// #import "matmul/operands_vec4.wgsl"
// #import "matmul/store.wgsl"
// #import "shared/add_products.wgsl"

enable subgroups;

const SUBGROUP = 8; // threads of every subgroup of the device: 4 or 8
const FOURS = 1; // of columns of a thread: 1 or 2
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

@compute @workgroup_size(SUBGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  // Down the rows first: a large weight, such as a vocabulary's, then passes through the cache once.
  let tile = group.y * groups.x + group.x;
  let tiles_down = (params.m + 15) / 16;
  let row = tile % tiles_down * 16;
  let col = (tile / tiles_down * SUBGROUP * FOURS + lane) * 4;
  let next = col + SUBGROUP * 4; // where the second four begin

  var c0 = vec4f(); var c1 = vec4f(); var c2 = vec4f(); var c3 = vec4f();
  var c4 = vec4f(); var c5 = vec4f(); var c6 = vec4f(); var c7 = vec4f();
  var c8 = vec4f(); var c9 = vec4f(); var c10 = vec4f(); var c11 = vec4f();
  var c12 = vec4f(); var c13 = vec4f(); var c14 = vec4f(); var c15 = vec4f();
  var d0 = vec4f(); var d1 = vec4f(); var d2 = vec4f(); var d3 = vec4f();
  var d4 = vec4f(); var d5 = vec4f(); var d6 = vec4f(); var d7 = vec4f();
  var d8 = vec4f(); var d9 = vec4f(); var d10 = vec4f(); var d11 = vec4f();
  var d12 = vec4f(); var d13 = vec4f(); var d14 = vec4f(); var d15 = vec4f();
  var held: array<vec4f, 16 / SUBGROUP>; // row i by thread i % SUBGROUP
  for (var k = 0u; k < params.k / 4; k++) {
    for (var i = 0u; i < 16 / SUBGROUP; i++) { held[i] = x_at(min(row + i * SUBGROUP + lane, params.m - 1), k); }
    let w = weights_at(col, k);
    let x0 = subgroupBroadcast(held[0 / SUBGROUP], 0 % SUBGROUP); c0 = add_products(c0, x0, w);
    let x1 = subgroupBroadcast(held[1 / SUBGROUP], 1 % SUBGROUP); c1 = add_products(c1, x1, w);
    let x2 = subgroupBroadcast(held[2 / SUBGROUP], 2 % SUBGROUP); c2 = add_products(c2, x2, w);
    let x3 = subgroupBroadcast(held[3 / SUBGROUP], 3 % SUBGROUP); c3 = add_products(c3, x3, w);
    let x4 = subgroupBroadcast(held[4 / SUBGROUP], 4 % SUBGROUP); c4 = add_products(c4, x4, w);
    let x5 = subgroupBroadcast(held[5 / SUBGROUP], 5 % SUBGROUP); c5 = add_products(c5, x5, w);
    let x6 = subgroupBroadcast(held[6 / SUBGROUP], 6 % SUBGROUP); c6 = add_products(c6, x6, w);
    let x7 = subgroupBroadcast(held[7 / SUBGROUP], 7 % SUBGROUP); c7 = add_products(c7, x7, w);
    let x8 = subgroupBroadcast(held[8 / SUBGROUP], 8 % SUBGROUP); c8 = add_products(c8, x8, w);
    let x9 = subgroupBroadcast(held[9 / SUBGROUP], 9 % SUBGROUP); c9 = add_products(c9, x9, w);
    let x10 = subgroupBroadcast(held[10 / SUBGROUP], 10 % SUBGROUP); c10 = add_products(c10, x10, w);
    let x11 = subgroupBroadcast(held[11 / SUBGROUP], 11 % SUBGROUP); c11 = add_products(c11, x11, w);
    let x12 = subgroupBroadcast(held[12 / SUBGROUP], 12 % SUBGROUP); c12 = add_products(c12, x12, w);
    let x13 = subgroupBroadcast(held[13 / SUBGROUP], 13 % SUBGROUP); c13 = add_products(c13, x13, w);
    let x14 = subgroupBroadcast(held[14 / SUBGROUP], 14 % SUBGROUP); c14 = add_products(c14, x14, w);
    let x15 = subgroupBroadcast(held[15 / SUBGROUP], 15 % SUBGROUP); c15 = add_products(c15, x15, w);
    if (FOURS > 1) {
      let v = weights_at(next, k);
      d0 = add_products(d0, x0, v); d1 = add_products(d1, x1, v);
      d2 = add_products(d2, x2, v); d3 = add_products(d3, x3, v);
      d4 = add_products(d4, x4, v); d5 = add_products(d5, x5, v);
      d6 = add_products(d6, x6, v); d7 = add_products(d7, x7, v);
      d8 = add_products(d8, x8, v); d9 = add_products(d9, x9, v);
      d10 = add_products(d10, x10, v); d11 = add_products(d11, x11, v);
      d12 = add_products(d12, x12, v); d13 = add_products(d13, x13, v);
      d14 = add_products(d14, x14, v); d15 = add_products(d15, x15, v);
    }
  }

  // A loop of a length that no compiler knows, so that the activation is compiled once and not sixteen times.
  for (var i = 0u; i < FOURS * min(16u, params.m - row); i++) {
    store(row + i / FOURS, select(col, next, i % FOURS == 1), c0);
    if (FOURS > 1) { // what comes next moves up: the second four of a row, then the first four of the next row
      c0 = d0; d0 = c1; c1 = d1; d1 = c2; c2 = d2; d2 = c3; c3 = d3; d3 = c4; c4 = d4; d4 = c5; c5 = d5; d5 = c6;
      c6 = d6; d6 = c7; c7 = d7; d7 = c8; c8 = d8; d8 = c9; c9 = d9; d9 = c10; c10 = d10; d10 = c11; c11 = d11;
      d11 = c12; c12 = d12; d12 = c13; c13 = d13; d13 = c14; c14 = d14; d14 = c15; c15 = d15;
    } else {
      c0 = c1; c1 = c2; c2 = c3; c3 = c4; c4 = c5; c5 = c6; c6 = c7; c7 = c8;
      c8 = c9; c9 = c10; c10 = c11; c11 = c12; c12 = c13; c13 = c14; c14 = c15;
    }
  }
}

// Four columns of weight's transpose; past the edge the last, never stored.
fn weights_at(col: u32, k: u32) -> mat4x4f {
  let cols = min(col + vec4u(0, 1, 2, 3), vec4u(params.n - 1));
  return transpose(mat4x4f(
    weight_at(cols.x, k), weight_at(cols.y, k), weight_at(cols.z, k), weight_at(cols.w, k),
  ));
}
