// Layer normalisation of one row by LANES threads: out = (e - mean) / sqrt(variance + eps) * gamma + beta. The kernel
// declares the row's elements as `elements(at)`, `at` being `starts_of(row, vectors)` with the place in the row added;
// the types Vector, as stored, and Sum, the same in f32; and Params with rows, cols, eps.
//
// Mean and squared deviations in one pass, by Welford's recurrence as Chan, Golub and LeVeque made it for parts of a
// sum: the sum of squares less the square of the sum would cancel. Each thread counts from its first vector, because a
// mean of 1e4 would itself be rounded to 1e-3. Nor is the row's mean more exact than that: what the deviations from it
// do not cancel is the rest, and comes off them too. Four vectors at a time, since a division is dear.

var<private> seen: f32; // vectors so far
var<private> mean: Sum; // of them
var<private> squares: Sum; // of their deviations from it

fn include(vectors: f32, their_mean: Sum, their_squares: Sum) {
  let apart = their_mean - mean;
  let before = seen;
  seen += vectors;
  let share = vectors / seen;
  mean += apart * share;
  squares += their_squares + square(apart) * (before * share);
}

fn square(value: Sum) -> Sum {
  return value * value;
}

// Threads past the last row compute it once more, since all must meet at the barriers, and write nothing.
fn normalize_row(row: u32, thread: u32) {
  let lane = thread % LANES;
  let count = f32(params.cols);
  let vectors = params.cols / WIDTH;
  let starts = starts_of(min(row, params.rows - 1), vectors);
  let origin = elements(starts + min(lane, vectors - 1));
  var i = lane;
  for (; i + 3 * LANES < vectors; i += 4 * LANES) {
    let a = elements(starts + i) - origin;
    let b = elements(starts + i + LANES) - origin;
    let c = elements(starts + i + 2 * LANES) - origin;
    let d = elements(starts + i + 3 * LANES) - origin;
    let four = (a + b + c + d) / 4;
    include(4, four, square(a - four) + square(b - four) + square(c - four) + square(d - four));
  }
  for (; i < vectors; i += LANES) { include(1, elements(starts + i) - origin, Sum()); }
  let row_mean = workgroup_sum(total(vec4f((origin + mean) * seen)), thread) / count;
  let apart = origin - row_mean + mean;
  let moments = vec2f(total(vec4f(apart * seen)), total(vec4f(squares + square(apart) * seen)));
  let means = workgroup_sum2(moments, thread) / count;
  let rest = means.x;
  let scale = inverseSqrt(max(means.y - rest * rest, 0.0) + params.eps);

  if (row >= params.rows) { return; }
  for (i = lane; i < vectors; i += LANES) {
    let normal = (elements(starts + i) - row_mean - rest) * scale;
    out[row * vectors + i] = Vector(normal * Sum(gamma[i]) + Sum(beta[i]));
  }
}
