// As attention_backward_q, for any dimensions, strides and offsets: operands are loaded one scalar at a time.
// #import "attention/attention_backward_q.wgsl"
// #import "attention/backward_scalar.wgsl" instead of "attention/backward_vec4.wgsl"
// #import "attention/backward_out_scalar.wgsl" instead of "attention/backward_out_vec4.wgsl"
