// As matmul_subgroup.wgsl for the gradient of a layer's inputs: out = x weight + residual,
// x [m, k] and weight [k, n], k and n multiples of 4.
// #import "matmul/matmul_subgroup.wgsl"
// #import "matmul/operands/weight_tile_columns.wgsl" instead of "matmul/operands/weight_tile_rows.wgsl"
// #import "matmul/store_gradient.wgsl" instead of "matmul/store.wgsl"
// #import "matmul/operands/x_range.wgsl" instead of "matmul/operands/x_whole.wgsl"
