// out = activation(x weight^T + bias) + residual, rows of x passed from thread to thread within a subgroup.
//   x         [m, k]   vec4s, k a multiple of 4
//   weight    [n, k]   vec4s
//   bias, residual, out and Params as in matmul.wgsl; stored by shared/matmul_store.wgsl
// One workgroup, which is one subgroup of SUBGROUP threads, owns 16 rows by SUBGROUP * 4 columns; one thread its 16 by
// 4, held in registers. A thread loads four k of 16 / SUBGROUP rows and of its own four columns; each row then reaches
// all threads by a broadcast. So a load serves many more products than a thread could make of it alone, which is what
// counts where a load costs more than arithmetic: on a CPU that plays GPU. Accumulates in f32.
// Joined with shared/matmul_vec4.wgsl, shared/matmul_store.wgsl, shared/activation.wgsl and shared/add_products.wgsl.

enable subgroups;

const SUBGROUP = 8; // threads of every subgroup of the device: 4 or 8
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
  let col = (tile / tiles_down * SUBGROUP + lane) * 4;
  let cols = min(col + vec4u(0, 1, 2, 3), vec4u(params.n - 1)); // past the edge the last, never stored

  var c0 = vec4f(); var c1 = vec4f(); var c2 = vec4f(); var c3 = vec4f();
  var c4 = vec4f(); var c5 = vec4f(); var c6 = vec4f(); var c7 = vec4f();
  var c8 = vec4f(); var c9 = vec4f(); var c10 = vec4f(); var c11 = vec4f();
  var c12 = vec4f(); var c13 = vec4f(); var c14 = vec4f(); var c15 = vec4f();
  var held: array<vec4f, 16 / SUBGROUP>; // row i by thread i % SUBGROUP
  for (var k = 0u; k < params.k / 4; k++) {
    for (var i = 0u; i < 16 / SUBGROUP; i++) { held[i] = x_at(min(row + i * SUBGROUP + lane, params.m - 1), k); }
    let w = transpose(mat4x4f(
      weight_at(cols.x, k), weight_at(cols.y, k), weight_at(cols.z, k), weight_at(cols.w, k),
    ));
    c0 = add_products(c0, subgroupBroadcast(held[0 / SUBGROUP], 0 % SUBGROUP), w);
    c1 = add_products(c1, subgroupBroadcast(held[1 / SUBGROUP], 1 % SUBGROUP), w);
    c2 = add_products(c2, subgroupBroadcast(held[2 / SUBGROUP], 2 % SUBGROUP), w);
    c3 = add_products(c3, subgroupBroadcast(held[3 / SUBGROUP], 3 % SUBGROUP), w);
    c4 = add_products(c4, subgroupBroadcast(held[4 / SUBGROUP], 4 % SUBGROUP), w);
    c5 = add_products(c5, subgroupBroadcast(held[5 / SUBGROUP], 5 % SUBGROUP), w);
    c6 = add_products(c6, subgroupBroadcast(held[6 / SUBGROUP], 6 % SUBGROUP), w);
    c7 = add_products(c7, subgroupBroadcast(held[7 / SUBGROUP], 7 % SUBGROUP), w);
    c8 = add_products(c8, subgroupBroadcast(held[8 / SUBGROUP], 8 % SUBGROUP), w);
    c9 = add_products(c9, subgroupBroadcast(held[9 / SUBGROUP], 9 % SUBGROUP), w);
    c10 = add_products(c10, subgroupBroadcast(held[10 / SUBGROUP], 10 % SUBGROUP), w);
    c11 = add_products(c11, subgroupBroadcast(held[11 / SUBGROUP], 11 % SUBGROUP), w);
    c12 = add_products(c12, subgroupBroadcast(held[12 / SUBGROUP], 12 % SUBGROUP), w);
    c13 = add_products(c13, subgroupBroadcast(held[13 / SUBGROUP], 13 % SUBGROUP), w);
    c14 = add_products(c14, subgroupBroadcast(held[14 / SUBGROUP], 14 % SUBGROUP), w);
    c15 = add_products(c15, subgroupBroadcast(held[15 / SUBGROUP], 15 % SUBGROUP), w);
  }

  // A loop of a length that no compiler knows, so that the activation is compiled once and not sixteen times.
  for (var i = row; i < min(row + 16, params.m); i++) {
    store(i, col, c0);
    c0 = c1; c1 = c2; c2 = c3; c3 = c4; c4 = c5; c5 = c6; c6 = c7; c7 = c8; // the next row's
    c8 = c9; c9 = c10; c10 = c11; c11 = c12; c12 = c13; c13 = c14; c14 = c15;
  }
}
