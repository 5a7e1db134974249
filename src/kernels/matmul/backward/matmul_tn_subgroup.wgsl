// As matmul_subgroup.wgsl for the gradient of a layer's weight: out = x^T weight,
// x [k, m] and weight [k, n], m and n multiples of 4.
// #import "matmul/matmul_subgroup.wgsl"
// #import "matmul/operands/weight_tile_columns.wgsl" instead of "matmul/operands/weight_tile_rows.wgsl"
// #import "matmul/operands/x_tile_columns.wgsl" instead of "matmul/operands/x_tile_rows.wgsl"
// #import "matmul/store_gradient.wgsl" instead of "matmul/store.wgsl"
