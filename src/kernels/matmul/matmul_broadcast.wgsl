// out = activation(x weight^T + bias) + residual, rows of x passed from thread to thread within a subgroup.
//   x, weight   [m, k], [n, k], k a multiple of 4; read by x_part and weight_block
//   bias, residual, out and Params as in matmul.wgsl
// One workgroup, which is one subgroup of SUBGROUP threads, owns 16 rows by SUBGROUP * 4 * FOURS columns; one thread
// its 16 by 4 * FOURS, held in registers. A thread loads its share of four k of the 16 rows, and four k of its own
// columns; each row then reaches all threads by a broadcast. So a load serves many more products than a thread could
// make of it alone, which is what counts where a load costs more than arithmetic: on a CPU that plays GPU. Accumulates
// in f32.
// #import "matmul/operands_vec4.wgsl"
// #import "matmul/operands/parts_rows.wgsl"
// #import "matmul/store.wgsl"
// #import "shared/add_products.wgsl"

enable subgroups;

alias Scalar = f32;
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
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(SUBGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  // Down the rows first: a large weight, such as a vocabulary's, then passes through the cache once.
  let tile = turn_of(group.y * groups.x + group.x);
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
  var held: array<vec4f, 16 / SUBGROUP>; // four blocks of four parts: part i by thread i % SUBGROUP
  for (var k = 0u; k < (params.k + 3) / 4; k++) {
    for (var i = 0u; i < 16 / SUBGROUP; i++) { held[i] = x_part(row, i * SUBGROUP + lane, k); }
    let w = transpose(weight_block(col, k));
    let x0 = rows_of(mat4x4f(
      subgroupBroadcast(held[0 / SUBGROUP], 0 % SUBGROUP), subgroupBroadcast(held[1 / SUBGROUP], 1 % SUBGROUP),
      subgroupBroadcast(held[2 / SUBGROUP], 2 % SUBGROUP), subgroupBroadcast(held[3 / SUBGROUP], 3 % SUBGROUP),
    ));
    c0 = add_products(c0, x0[0], w); c1 = add_products(c1, x0[1], w);
    c2 = add_products(c2, x0[2], w); c3 = add_products(c3, x0[3], w);
    let x1 = rows_of(mat4x4f(
      subgroupBroadcast(held[4 / SUBGROUP], 4 % SUBGROUP), subgroupBroadcast(held[5 / SUBGROUP], 5 % SUBGROUP),
      subgroupBroadcast(held[6 / SUBGROUP], 6 % SUBGROUP), subgroupBroadcast(held[7 / SUBGROUP], 7 % SUBGROUP),
    ));
    c4 = add_products(c4, x1[0], w); c5 = add_products(c5, x1[1], w);
    c6 = add_products(c6, x1[2], w); c7 = add_products(c7, x1[3], w);
    let x2 = rows_of(mat4x4f(
      subgroupBroadcast(held[8 / SUBGROUP], 8 % SUBGROUP), subgroupBroadcast(held[9 / SUBGROUP], 9 % SUBGROUP),
      subgroupBroadcast(held[10 / SUBGROUP], 10 % SUBGROUP), subgroupBroadcast(held[11 / SUBGROUP], 11 % SUBGROUP),
    ));
    c8 = add_products(c8, x2[0], w); c9 = add_products(c9, x2[1], w);
    c10 = add_products(c10, x2[2], w); c11 = add_products(c11, x2[3], w);
    let x3 = rows_of(mat4x4f(
      subgroupBroadcast(held[12 / SUBGROUP], 12 % SUBGROUP), subgroupBroadcast(held[13 / SUBGROUP], 13 % SUBGROUP),
      subgroupBroadcast(held[14 / SUBGROUP], 14 % SUBGROUP), subgroupBroadcast(held[15 / SUBGROUP], 15 % SUBGROUP),
    ));
    c12 = add_products(c12, x3[0], w); c13 = add_products(c13, x3[1], w);
    c14 = add_products(c14, x3[2], w); c15 = add_products(c15, x3[3], w);
    if (FOURS > 1) {
      let v = transpose(weight_block(next, k));
      d0 = add_products(d0, x0[0], v); d1 = add_products(d1, x0[1], v);
      d2 = add_products(d2, x0[2], v); d3 = add_products(d3, x0[3], v);
      d4 = add_products(d4, x1[0], v); d5 = add_products(d5, x1[1], v);
      d6 = add_products(d6, x1[2], v); d7 = add_products(d7, x1[3], v);
      d8 = add_products(d8, x2[0], v); d9 = add_products(d9, x2[1], v);
      d10 = add_products(d10, x2[2], v); d11 = add_products(d11, x2[3], v);
      d12 = add_products(d12, x3[0], v); d13 = add_products(d13, x3[1], v);
      d14 = add_products(d14, x3[2], v); d15 = add_products(d15, x3[3], v);
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
