// As softmax.wgsl, on a device with subgroups, of any size.
// #import "rows/softmax.wgsl"
// #import "shared/reduce_subgroup.wgsl" instead of "shared/reduce.wgsl"
// #import "shared/max_key_subgroup.wgsl" instead of "shared/max_key.wgsl"
enable subgroups;
