// Blocks of a matmul's operands: four k of each of four rows of x, or of four columns of the output.

fn x_block(row: u32, chunk: u32) -> mat4x4f {
  return x_turned(mat4x4f(x_part(row, 0, chunk), x_part(row, 1, chunk), x_part(row, 2, chunk), x_part(row, 3, chunk)));
}

fn weight_block(col: u32, chunk: u32) -> mat4x4f {
  return weight_turned(mat4x4f(
    weight_part(col, 0, chunk), weight_part(col, 1, chunk), weight_part(col, 2, chunk), weight_part(col, 3, chunk),
  ));
}
