// As matmul_workgroup.wgsl for the gradient of a layer's weight: out = x^T weight,
// x [k, m] and weight [k, n], any sizes.
// #import "matmul/matmul_workgroup.wgsl"
// #import "matmul/operands/tn_scalar.wgsl" instead of "matmul/operands_vec4.wgsl"
// #import "matmul/store_gradient.wgsl" instead of "matmul/store.wgsl"
