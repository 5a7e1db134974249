// As matmul_workgroup.wgsl for the gradient of a layer's inputs: out = x weight + residual,
// x [m, k] and weight [k, n], k and n multiples of 4.
// #import "matmul/matmul_workgroup.wgsl"
// #import "matmul/operands/nn_vec4.wgsl" instead of "matmul/operands_vec4.wgsl"
// #import "matmul/store_gradient.wgsl" instead of "matmul/store.wgsl"
