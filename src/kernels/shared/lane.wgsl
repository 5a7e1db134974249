// The thread that calls, as the reductions of a workgroup want to know it: an argument of a kernel's main.

struct Lane {
  @builtin(local_invocation_index) thread: u32,
}
