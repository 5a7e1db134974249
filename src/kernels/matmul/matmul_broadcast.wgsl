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

// Four values of each of sixteen rows, four rows in a matrix.
struct Rows {
  a: mat4x4f,
  b: mat4x4f,
  c: mat4x4f,
  d: mat4x4f,
}

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

  var c = Rows();
  var d = Rows(); // of the second four columns
  var held: array<vec4f, 16 / SUBGROUP>; // four blocks of four parts: part i by thread i % SUBGROUP
  for (var k = 0u; k < (params.k + 3) / 4; k++) {
    for (var i = 0u; i < 16 / SUBGROUP; i++) { held[i] = x_part(row, i * SUBGROUP + lane, k); }
    let w = transpose(weight_block(col, k));
    let x = Rows(
      rows_of(mat4x4f(
        subgroupBroadcast(held[0 / SUBGROUP], 0 % SUBGROUP), subgroupBroadcast(held[1 / SUBGROUP], 1 % SUBGROUP),
        subgroupBroadcast(held[2 / SUBGROUP], 2 % SUBGROUP), subgroupBroadcast(held[3 / SUBGROUP], 3 % SUBGROUP),
      )),
      rows_of(mat4x4f(
        subgroupBroadcast(held[4 / SUBGROUP], 4 % SUBGROUP), subgroupBroadcast(held[5 / SUBGROUP], 5 % SUBGROUP),
        subgroupBroadcast(held[6 / SUBGROUP], 6 % SUBGROUP), subgroupBroadcast(held[7 / SUBGROUP], 7 % SUBGROUP),
      )),
      rows_of(mat4x4f(
        subgroupBroadcast(held[8 / SUBGROUP], 8 % SUBGROUP), subgroupBroadcast(held[9 / SUBGROUP], 9 % SUBGROUP),
        subgroupBroadcast(held[10 / SUBGROUP], 10 % SUBGROUP), subgroupBroadcast(held[11 / SUBGROUP], 11 % SUBGROUP),
      )),
      rows_of(mat4x4f(
        subgroupBroadcast(held[12 / SUBGROUP], 12 % SUBGROUP), subgroupBroadcast(held[13 / SUBGROUP], 13 % SUBGROUP),
        subgroupBroadcast(held[14 / SUBGROUP], 14 % SUBGROUP), subgroupBroadcast(held[15 / SUBGROUP], 15 % SUBGROUP),
      )),
    );
    c = add_rows(c, x, transpose(weight_block(col, k)));
    if (FOURS > 1) { d = add_rows(d, x, transpose(weight_block(next, k))); }
  }

  // A loop of a length that no compiler knows, so that the activation is compiled once and not sixteen times.
  for (var i = 0u; i < FOURS * min(16u, params.m - row); i++) {
    store(row + i / FOURS, select(col, next, i % FOURS == 1), c.a[0]);
    let below = shifted(c);
    if (FOURS > 1) { // by turns the first four of a row and its second four
      c = d;
      d = below;
    } else {
      c = below;
    }
  }
}

fn add_rows(sum: Rows, x: Rows, w: mat4x4f) -> Rows {
  return Rows(add_four(sum.a, x.a, w), add_four(sum.b, x.b, w), add_four(sum.c, x.c, w), add_four(sum.d, x.d, w));
}

fn add_four(sum: mat4x4f, x: mat4x4f, w: mat4x4f) -> mat4x4f {
  return mat4x4f(
    add_products(sum[0], x[0], w), add_products(sum[1], x[1], w),
    add_products(sum[2], x[2], w), add_products(sum[3], x[3], w));
}

// The next row first.
fn shifted(r: Rows) -> Rows {
  return Rows(
    mat4x4f(r.a[1], r.a[2], r.a[3], r.b[0]), mat4x4f(r.b[1], r.b[2], r.b[3], r.c[0]),
    mat4x4f(r.c[1], r.c[2], r.c[3], r.d[0]), mat4x4f(r.d[1], r.d[2], r.d[3], r.d[3]));
}
