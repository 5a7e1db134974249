// x [m, k] and weight [k, n] of a matmul in vec4s: k and n are multiples of 4.
// #import "matmul/operands/x_rows_vec4.wgsl"
// #import "matmul/operands/weight_columns_vec4.wgsl"
// #import "matmul/operands/x_range.wgsl" instead of "matmul/operands/x_whole.wgsl"
