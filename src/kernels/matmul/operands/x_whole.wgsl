// Where x of a matmul has a row: it lies by itself.

fn x_start(row: u32, cols: u32) -> u32 { return row * cols; }
