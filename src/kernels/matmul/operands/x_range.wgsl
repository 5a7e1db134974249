// Where x of a matmul has a row: it may be a range of columns of a wider matrix.

const X_ROW_STRIDE = 0; // elements between the starts of two rows; 0: x lies by itself
const X_ROW_OFFSET = 0; // element where [0, 0] lies

fn x_start(row: u32, cols: u32) -> u32 { return row * select(cols, X_ROW_STRIDE, X_ROW_STRIDE > 0) + X_ROW_OFFSET; }
