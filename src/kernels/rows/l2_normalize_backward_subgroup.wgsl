// As l2_normalize_backward.wgsl, on a device with subgroups, of any size.
// #import "rows/l2_normalize_backward.wgsl"
// #import "shared/reduce_subgroup.wgsl" instead of "shared/reduce.wgsl"
enable subgroups;
