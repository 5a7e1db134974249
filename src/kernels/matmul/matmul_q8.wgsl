// out = activation(x weight^T + bias) + residual, with weights in int8 and one scale for each of their rows.
//   x         [m, k]
//   weight    [n, ceil(k / 4)]   four int8 in a u32, the first in the lowest byte; zeros past k
//   scales    [n]                f32: a weight is its int8 times its row's scale
//   bias, residual, out and Params as in matmul.wgsl
// 32 of k at a time, a workgroup brings its rows of x to int8, each with a scale for these 32, and multiplies four
// products at once. The sum over 32 is an integer below 2^24, so that it becomes f32 without a rounding.
// One workgroup owns TILE_ROWS x TILE_COLS outputs, a thread 4 x 4. Loads past an edge repeat the last row.
// #import "matmul/store.wgsl"

const TILE_ROWS = 32;
const TILE_COLS = 32;
const COL_THREADS = TILE_COLS / 4;
const THREADS = TILE_ROWS / 4 * COL_THREADS;
const BLOCK = 32; // of k
const WORDS = BLOCK / 4;
const HAS_BIAS = false;
const HAS_RESIDUAL = false;
const_assert THREADS >= TILE_ROWS;

alias Scalar = f32;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  out_stride: u32,
  out_offset: u32,
  activated: u32, // whether ACTIVATION applies
}

@group(0) @binding(0) var<storage, read> x: array<Scalar>;
@group(0) @binding(1) var<storage, read> weight: array<u32>;
@group(0) @binding(2) var<storage, read> bias: array<Scalar>;
@group(0) @binding(3) var<storage, read> residual: array<Scalar>;
@group(0) @binding(5) var<uniform> params: Params;
@group(0) @binding(6) var<storage, read> scales: array<f32>;

var<workgroup> x_codes: array<u32, WORDS * TILE_ROWS>; // [word, row]
var<workgroup> x_scales: array<f32, TILE_ROWS>;
var<workgroup> weight_codes: array<u32, WORDS * TILE_COLS>; // [word, column]

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
  let thread_row = thread / COL_THREADS * 4;
  let thread_col = thread % COL_THREADS * 4;
  let words = (params.k + 3) / 4;

  var sums: array<vec4f, 4>;
  var products: array<vec4i, 4>; // cleared by hand: a declaration in the loop is not, on lavapipe
  for (var first = 0u; first < words; first += WORDS) {
    if (thread < TILE_ROWS) { quantize(min(row + thread, params.m - 1), thread, first * 4); }
    for (var i = thread; i < WORDS * TILE_COLS; i += THREADS) {
      let word = first + i % WORDS;
      let c = min(col + i / WORDS, params.n - 1);
      let codes = weight[c * words + min(word, words - 1)];
      weight_codes[i % WORDS * TILE_COLS + i / WORDS] = select(0u, codes, word < words);
    }
    workgroupBarrier();
    for (var word = 0u; word < WORDS; word++) {
      let at = word * TILE_COLS + thread_col;
      let w = vec4u(weight_codes[at], weight_codes[at + 1], weight_codes[at + 2], weight_codes[at + 3]);
      for (var i = 0u; i < 4; i++) {
        let codes = x_codes[word * TILE_ROWS + thread_row + i];
        products[i] += vec4i(
          dot4I8Packed(codes, w.x), dot4I8Packed(codes, w.y), dot4I8Packed(codes, w.z), dot4I8Packed(codes, w.w));
      }
    }
    for (var i = 0u; i < 4; i++) {
      sums[i] += vec4f(products[i]) * x_scales[thread_row + i];
      products[i] = vec4i();
    }
    workgroupBarrier();
  }

  let c = min(col + thread_col + vec4u(0, 1, 2, 3), vec4u(params.n - 1));
  let scale = vec4f(scales[c.x], scales[c.y], scales[c.z], scales[c.w]);
  for (var i = 0u; i < 4; i++) { store(row + thread_row + i, col + thread_col, sums[i] * scale); }
}

// Elements `k` to `k + 31` of a row of x into row `at` of the tile. 127 / max is rounded to nine bits: devices
// then take the same one, whatever the last bits of their divisions are. The maximum is found among the bits, where an
// infinity or a NaN is the greatest: the scale is then NaN, and so is all that is made of it.
fn quantize(row: u32, at: u32, k: u32) {
  var most = 0u;
  for (var i = 0u; i < min(u32(BLOCK), params.k - k); i++) {
    most = max(most, bitcast<u32>(f32(x[row * params.k + k + i])) & 0x7fffffff);
  }
  let largest = bitcast<f32>(most);
  var factor = 0.0;
  var scale = bitcast<f32>(select(0u, 0x7fc00000u, most >= 0x7f800000));
  if (largest > 1e-30 && most < 0x7f800000) {
    factor = bitcast<f32>((bitcast<u32>(127.0 / largest) + 0x4000) & 0xffff8000);
    scale = 1.0 / factor;
  }
  for (var word = 0u; word < WORDS; word++) {
    var codes = vec4i();
    for (var i = 0u; i < 4; i++) {
      let p = k + word * 4 + i;
      if (p < params.k) { codes[i] = i32(round(f32(x[row * params.k + p]) * factor)); }
    }
    x_codes[word * TILE_ROWS + at] = pack4xI8Clamp(codes);
  }
  x_scales[at] = scale;
}
