// What attention on matrix units has of q, k and v in workgroup memory: KEYS rows of q or k as they come, of v
// transposed. Zeros past the ends of a sequence and of a head. A row begins at `start` and its number times its stride.

var<workgroup> rows_tile: array<Vec4, KEYS * HEAD_STRIDE>; // [query or key, four of the head]
var<workgroup> v_tile: array<Vec4, COLUMNS * KEY_STRIDE>; // [column, four of keys]

fn fill_q(start: u32, first: u32, queries: u32, thread: u32) {
  for (var turn = 0u; turn < (KEYS * HEAD_FOURS + THREADS - 1) / THREADS; turn++) {
    let row = (turn * THREADS + thread) / HEAD_FOURS;
    let four = (turn * THREADS + thread) % HEAD_FOURS;
    var values = Vec4();
    if (first + row < queries && four < HEAD_DIM / 4) {
      values = Vec4(q_at(start + (first + row) * (params.q_stride / WIDTH), four));
    }
    if (row < KEYS) { rows_tile[row * HEAD_STRIDE + four] = values; }
  }
}

fn fill_k(start: u32, first: u32, keys: u32, thread: u32) {
  for (var turn = 0u; turn < (KEYS * HEAD_FOURS + THREADS - 1) / THREADS; turn++) {
    let row = (turn * THREADS + thread) / HEAD_FOURS;
    let four = (turn * THREADS + thread) % HEAD_FOURS;
    var values = Vec4();
    if (first + row < keys && four < HEAD_DIM / 4) {
      values = Vec4(k_at(start + (first + row) * (params.k_stride / WIDTH), four));
    }
    if (row < KEYS) { rows_tile[row * HEAD_STRIDE + four] = values; }
  }
}

// Four columns of four keys at a time; the columns of `slice`.
fn fill_v(start: u32, first: u32, keys: u32, slice: u32, thread: u32) {
  for (var turn = 0u; turn < (KEYS / 4 * COLUMNS / 4 + THREADS - 1) / THREADS; turn++) {
    let key4 = (turn * THREADS + thread) / (COLUMNS / 4);
    let four = (turn * THREADS + thread) % (COLUMNS / 4);
    let column4 = slice * (COLUMNS / 4) + four;
    var values: array<Vec4, 4>;
    for (var i = 0u; i < 4; i++) {
      let row = first + key4 * 4 + i;
      if (row < keys && column4 * 4 < params.value_dim) {
        values[i] = Vec4(v_at(start + row * (params.v_stride / WIDTH), column4));
      }
    }
    if (key4 < KEYS / 4) {
      for (var i = 0u; i < 4; i++) {
        v_tile[(four * 4 + i) * KEY_STRIDE + key4] = Vec4(values[0][i], values[1][i], values[2][i], values[3][i]);
      }
    }
  }
}
