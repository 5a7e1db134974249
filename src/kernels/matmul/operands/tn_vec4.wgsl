// x [k, m] and weight [k, n] of a matmul in vec4s: m and n are multiples of 4, k is any.
// #import "matmul/operands/x_columns_vec4.wgsl"
// #import "matmul/operands/weight_columns_vec4.wgsl"
