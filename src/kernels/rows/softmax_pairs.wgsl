// As softmax.wgsl, for an even number of columns that is no multiple of 4, such as BERT's vocabulary of 30522.
// #import "rows/softmax.wgsl"
// #import "rows/pairs.wgsl" instead of "rows/fours.wgsl"
