// As matmul_split_k.wgsl for the gradient of a layer's weight: out = x^T weight,
// x [k, m] and weight [k, n], any sizes.
// #import "matmul/matmul_split_k.wgsl"
// #import "matmul/operands/tn_scalar.wgsl" instead of "matmul/operands_vec4.wgsl"
// #import "matmul/store_gradient.wgsl" instead of "matmul/store.wgsl"
