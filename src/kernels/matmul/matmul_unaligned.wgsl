// As matmul.wgsl, for any k: operands are loaded one scalar at a time.
// #import "matmul/matmul.wgsl"
// #import "matmul/operands_scalar.wgsl" instead of "matmul/operands_vec4.wgsl"
