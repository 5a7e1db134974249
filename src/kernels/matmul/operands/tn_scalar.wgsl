// x [k, m] and weight [k, n] of a matmul one scalar at a time: any sizes.
// #import "matmul/operands/x_columns_scalar.wgsl"
// #import "matmul/operands/weight_columns_scalar.wgsl"
