// The gradients of a layer normalisation's weights, and of the bias of the linear layer before it: all are added to.
//   x        [rows, cols]  what was normalised
//   stats    [rows]        its mean and 1 / sqrt(variance + eps), of layernorm_backward.wgsl
//   d_out    [rows, cols]
//   dx       [rows, cols]  the gradient of x   read if HAS_BIAS
//   d_gamma  [cols]        f32, += sum of d_out * (x - mean) / sqrt(variance + eps)
//   d_beta   [cols]        f32, += sum of d_out
//   d_bias   [cols]        f32, += sum of dx   if HAS_BIAS
// Threads share columns as columns.wgsl says. Computes in f32.
// #import "rows/columns.wgsl"

const HAS_BIAS = false;

struct Params {
  rows: u32,
  cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read> stats: array<vec2f>;
@group(0) @binding(2) var<storage, read> d_out: array<Vector>;
@group(0) @binding(3) var<storage, read> dx: array<Vector>;
@group(0) @binding(4) var<storage, read_write> d_gamma: array<Sum>;
@group(0) @binding(5) var<storage, read_write> d_beta: array<Sum>;
@group(0) @binding(6) var<storage, read_write> d_bias: array<Sum>;
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let column = column_of(group, groups, thread);
  let vectors = params.cols / WIDTH;
  let rows = select(params.rows, 0u, column >= vectors);
  var gamma_sum = Sum();
  var beta_sum = Sum();
  var bias_sum = Sum();
  for (var row = lane_of(thread); row < rows; row += LANES) {
    let at = row * vectors + column;
    let moments = stats[row];
    let d = Sum(d_out[at]);
    gamma_sum += d * ((Sum(x[at]) - moments.x) * moments.y);
    beta_sum += d;
    if (HAS_BIAS) { bias_sum += Sum(dx[at]); }
  }
  gamma_sum = column_sum(gamma_sum, thread);
  beta_sum = column_sum(beta_sum, thread);
  if (HAS_BIAS) { bias_sum = column_sum(bias_sum, thread); }
  if (lane_of(thread) > 0 || column >= vectors) { return; }
  d_gamma[column] += gamma_sum;
  d_beta[column] += beta_sum;
  if (HAS_BIAS) { d_bias[column] += bias_sum; }
}
