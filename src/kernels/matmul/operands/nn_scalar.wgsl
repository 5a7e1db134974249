// x [m, k] and weight [k, n] of a matmul one scalar at a time: any k and n.
// #import "matmul/operands/x_rows_scalar.wgsl"
// #import "matmul/operands/weight_columns_scalar.wgsl"
// #import "matmul/operands/x_range.wgsl" instead of "matmul/operands/x_whole.wgsl"
