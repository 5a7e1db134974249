// As matmul.wgsl for the gradient of a layer's weight: out = x^T weight,
// x [k, m] and weight [k, n], m and n multiples of 4.
// #import "matmul/matmul.wgsl"
// #import "matmul/operands/tn_vec4.wgsl" instead of "matmul/operands_vec4.wgsl"
// #import "matmul/store_gradient.wgsl" instead of "matmul/store.wgsl"
