// As attention, with dropout of probabilities, and the logarithms that its gradients are made from.
// #import "attention/attention.wgsl"
// #import "attention/training.wgsl" instead of "attention/inference.wgsl"
