// Mean and deviation of one row by LANES threads. The kernel declares the row's elements as `elements(at)`, `at` being
// `starts_of(row, vectors)` with the place in the row added; the types Vector, as stored, and Sum, the same in f32; and
// Params with rows, cols, eps.
//
// Mean and squared deviations in one pass, by Welford's recurrence: the sum of squares less the square of the sum would
// cancel. Each thread counts from its first vector, because a mean of 1e4 would itself be rounded to 1e-3. Nor is the
// row's mean more exact than that: what the deviations from it do not cancel is the rest, and comes off them too.
// #import "shared/reduce.wgsl"
// #import "rows/total.wgsl"

struct Moments {
  mean: f32,
  rest: f32, // of the mean
  scale: f32, // 1 / sqrt(variance + eps)
}

// Threads past the last row compute it once more, since all must meet at the barriers.
fn row_moments(row: u32, lane: Lane) -> Moments {
  let count = f32(params.cols);
  let vectors = params.cols / WIDTH;
  let starts = starts_of(min(row, params.rows - 1), vectors);
  var seen = 0.0; // vectors so far
  var origin = Sum();
  var mean = Sum(); // of the offsets from it
  var squares = Sum(); // of the deviations from that
  for (var i = lane.thread % LANES; i < vectors; i += LANES) {
    let element = elements(starts + i);
    if (seen == 0.0) { origin = element; }
    seen += 1.0;
    let offset = element - origin;
    let deviation = offset - mean;
    mean += deviation / seen;
    squares += deviation * (offset - mean);
  }
  let row_mean = workgroup_sum(total((origin + mean) * seen), lane) / count;
  let apart = origin - row_mean + mean;
  let moments = vec2f(total(apart * seen), total(squares + apart * apart * seen));
  let means = workgroup_sum2(moments, lane) / count;
  let rest = means.x;
  return Moments(row_mean, rest, inverseSqrt(max(means.y - rest * rest, 0.0) + params.eps));
}
