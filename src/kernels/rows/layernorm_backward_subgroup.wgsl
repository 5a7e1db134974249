// As layernorm_backward.wgsl, on a device with subgroups, of any size.
// #import "rows/layernorm_backward.wgsl"
// #import "shared/reduce_subgroup.wgsl" instead of "shared/reduce.wgsl"
enable subgroups;
