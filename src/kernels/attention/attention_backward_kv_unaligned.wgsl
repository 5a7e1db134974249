// As attention_backward_kv, for any dimensions, strides and offsets: operands are loaded one scalar at a time.
// #import "attention/attention_backward_kv.wgsl"
// #import "attention/backward_scalar.wgsl" instead of "attention/backward_vec4.wgsl"
