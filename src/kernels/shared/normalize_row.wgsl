// Layer normalisation of one row by one workgroup: out = (e - mean) / sqrt(variance + eps) * gamma + beta, where the
// kernel declares the row's elements e as `element(row, col)`, and Params with rows, cols, eps.
//
// Two passes: the mean, then the squared deviations. A mean of 1e4 is itself rounded to 1e-3, so the second pass also
// sums the plain deviations: what they do not cancel is the rest of the mean, and comes off deviations and variance.

fn normalize_row(row: u32, lane: u32) {
  let count = f32(params.cols);
  var sum = 0.0;
  for (var col = lane; col < params.cols; col += WORKGROUP_SIZE) { sum += element(row, col); }
  let mean = workgroup_sum(sum, lane) / count;

  var moments = vec2f(); // of the deviation: first, second
  for (var col = lane; col < params.cols; col += WORKGROUP_SIZE) {
    let deviation = element(row, col) - mean;
    moments += vec2f(deviation, deviation * deviation);
  }
  moments = workgroup_sum2(moments, lane) / count;
  let rest = moments.x;
  let scale = inverseSqrt(max(moments.y - rest * rest, 0.0) + params.eps);

  for (var col = lane; col < params.cols; col += WORKGROUP_SIZE) {
    let normal = (element(row, col) - mean - rest) * scale;
    out[row * params.cols + col] = Scalar(normal * f32(gamma[col]) + f32(beta[col]));
  }
}
