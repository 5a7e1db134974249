// x [m, k] and weight [n, k] of a matmul in vec4s: k is a multiple of 4.
// #import "matmul/operands/x_rows_vec4.wgsl"
// #import "matmul/operands/weight_rows_vec4.wgsl"
