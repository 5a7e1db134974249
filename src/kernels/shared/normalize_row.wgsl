// Layer normalisation of one row by LANES threads: out = (e - mean) / sqrt(variance + eps) * gamma + beta. The kernel
// declares the row's elements as `elements(at)`, `at` being `starts_of(row, vectors)` with the place in the row added;
// the types Vector, as stored, and Sum, the same in f32; and Params with rows, cols, eps.
//
// Two passes: the mean, then the squared deviations. A mean of 1e4 is itself rounded to 1e-3, so the second pass also
// sums the plain deviations: what they do not cancel is the rest of the mean, and comes off deviations and variance.

// Threads past the last row compute it once more, since all must meet at the barriers, and write nothing.
fn normalize_row(row: u32, thread: u32) {
  let lane = thread % LANES;
  let count = f32(params.cols);
  let vectors = params.cols / WIDTH;
  let starts = starts_of(min(row, params.rows - 1), vectors);
  var sum = Sum();
  for (var i = lane; i < vectors; i += LANES) { sum += elements(starts + i); }
  let mean = workgroup_sum(total(vec4f(sum)), thread) / count;

  var first = Sum(); // moments of the deviation
  var second = Sum();
  for (var i = lane; i < vectors; i += LANES) {
    let deviation = elements(starts + i) - mean;
    first += deviation;
    second += deviation * deviation;
  }
  let moments = workgroup_sum2(vec2f(total(vec4f(first)), total(vec4f(second))), thread) / count;
  let rest = moments.x;
  let scale = inverseSqrt(max(moments.y - rest * rest, 0.0) + params.eps);

  if (row >= params.rows) { return; }
  for (var i = lane; i < vectors; i += LANES) {
    let normal = (elements(starts + i) - mean - rest) * scale;
    out[row * vectors + i] = Vector(normal * Sum(gamma[i]) + Sum(beta[i]));
  }
}

// Of a Sum, which becomes four times the same number where it is one.
fn total(sum: vec4f) -> f32 {
  return dot(sum, vec4f(f32(WIDTH) / 4));
}
