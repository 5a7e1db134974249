// As attention_training, with operands passed through a subgroup.
// #import "attention/attention_broadcast.wgsl"
// #import "attention/training.wgsl" instead of "attention/inference.wgsl"
