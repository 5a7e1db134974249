// What attention on matrix units has of scores and of sums in workgroup memory, and which thread sees to which row.

const TURNS = (ROWS * 4 + SUBGROUP - 1) / SUBGROUP; // rows of a thread
const FOURS = KEYS / 16; // of a row of KEYS, of a thread
const SCORE_STRIDE = KEYS / 4 + 1;

var<workgroup> scores: array<vec4f, QUERIES * SCORE_STRIDE>; // [query, four of keys], or of KEYS columns of the sums

// Of the subgroup: the thread's, with three others. Where there are more threads than fours of rows, some repeat a row.
fn row_of(turn: u32, thread: u32) -> u32 {
  return (turn * (SUBGROUP / 4) + thread % SUBGROUP / 4) % ROWS;
}

// KEYS columns of the sums from `first` on, or what there are, for all threads to see.
fn put_sums(sums: ptr<function, Sums>, own: u32, first: u32) {
  for (var j = 0u; j < COLUMNS; j += MATRIX_COLS) {
    if (j >= first && j < first + KEYS) {
      let at = own * SCORE_STRIDE + (j - first) / 4;
      subgroupMatrixStore<row_major>(&scores, at, (*sums)[j / MATRIX_COLS], SCORE_STRIDE);
    }
  }
  workgroupBarrier();
}

fn take_sums(sums: ptr<function, Sums>, own: u32, first: u32) {
  workgroupBarrier();
  for (var j = 0u; j < COLUMNS; j += MATRIX_COLS) {
    if (j >= first && j < first + KEYS) {
      let at = own * SCORE_STRIDE + (j - first) / 4;
      (*sums)[j / MATRIX_COLS] = subgroupMatrixLoad<Matrix, row_major>(&scores, at, SCORE_STRIDE);
    }
  }
  workgroupBarrier();
}
