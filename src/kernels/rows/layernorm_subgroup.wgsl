// As layernorm.wgsl, on a device with subgroups, of any size.
// #import "rows/layernorm.wgsl"
// #import "shared/reduce_subgroup.wgsl" instead of "shared/reduce.wgsl"
enable subgroups;
