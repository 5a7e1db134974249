// Layer normalisation of one row by LANES threads: out = (e - mean) / sqrt(variance + eps) * gamma + beta, of the
// elements that row_moments.wgsl asks for.
// #import "rows/row_moments.wgsl"

fn normalize_row(row: u32, lane: Lane) {
  let moments = row_moments(row, lane);
  if (row >= params.rows) { return; }
  let vectors = params.cols / WIDTH;
  let starts = starts_of(row, vectors);
  for (var i = lane.thread % LANES; i < vectors; i += LANES) {
    let normal = (elements(starts + i) - moments.mean - moments.rest) * moments.scale;
    out[row * vectors + i] = Vector(normal * Sum(gamma[i]) + Sum(beta[i]));
  }
}
