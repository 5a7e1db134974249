// x [m, k] and weight [n, k] of a matmul one scalar at a time: any k.
// #import "matmul/operands/x_rows_scalar.wgsl"
// #import "matmul/operands/weight_rows_scalar.wgsl"
