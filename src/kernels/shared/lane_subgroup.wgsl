// The thread that calls, and where it is in its subgroup, and that in the workgroup: an argument of a kernel's main.

struct Lane {
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) place: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) subgroups: u32,
}
