// Stores four outputs of one row of a Linear layer: bias, activation, residual, and what of the four lies past the edge
// left out. For kernels with the other bindings and Params of matmul.wgsl.
// #import "shared/activation.wgsl"

@group(0) @binding(4) var<storage, read_write> out: array<Scalar>;

fn store(row: u32, col: u32, sum: vec4f) {
  if (row >= params.m) { return; }
  let count = min(4u, max(params.n, col) - col); // of the four outputs
  let at = col + min(vec4u(0, 1, 2, 3), vec4u(max(count, 1) - 1));
  var y = sum;
  if (HAS_BIAS) { y += vec4f(f32(bias[at.x]), f32(bias[at.y]), f32(bias[at.z]), f32(bias[at.w])); }
  if (params.activated != 0) { y = activate(y); } // a parameter, so that layers with and without share a pipeline
  if (HAS_RESIDUAL) {
    let i = row * params.n + at;
    y += vec4f(f32(residual[i.x]), f32(residual[i.y]), f32(residual[i.z]), f32(residual[i.w]));
  }
  let start = row * params.out_stride + params.out_offset + col;
  for (var j = 0u; j < count; j++) { out[start + j] = Scalar(y[j]); }
}
