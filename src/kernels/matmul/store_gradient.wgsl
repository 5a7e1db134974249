// Stores four outputs of one row of a product, with a residual, or added to what stands there; what lies past the edge
// is left out. For kernels with the other bindings and Params of matmul.wgsl, without bias and activation.

alias Out = Scalar; // f32 if ACCUMULATE
const ACCUMULATE = false;

@group(0) @binding(4) var<storage, read_write> out: array<Out>;

fn store(row: u32, col: u32, sum: vec4f) {
  if (row >= params.m) { return; }
  for (var j = 0u; j < min(4u, max(params.n, col) - col); j++) { put(row, col + j, sum[j]); }
}

fn put(row: u32, col: u32, sum: f32) {
  let at = row * params.out_stride + params.out_offset + col;
  var y = sum;
  if (HAS_RESIDUAL) { y += f32(residual[row * params.n + col]); }
  if (ACCUMULATE) { y += f32(out[at]); }
  out[at] = Out(y);
}
