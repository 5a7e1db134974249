// As attention_training, for any dimensions, strides and offsets: operands are loaded one scalar at a time.
// #import "attention/attention.wgsl"
// #import "attention/training.wgsl" instead of "attention/inference.wgsl"
// #import "attention/operands_scalar.wgsl" instead of "attention/operands_vec4.wgsl"
