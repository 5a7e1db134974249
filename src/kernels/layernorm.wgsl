// out = (s - mean(s)) / sqrt(variance(s) + eps) * gamma + beta over each row of s = x + residual.
//   x         [rows, cols]
//   residual  [rows, cols]   read if HAS_RESIDUAL
//   gamma     [cols]
//   beta      [cols]
//   out       [rows, cols]
// One workgroup owns a row, its threads every WORKGROUP_SIZE-th column. Computes in f32.
// Joined with shared/normalize_row.wgsl and shared/reduce.wgsl.

alias Scalar = f32;
const WORKGROUP_SIZE = 64;
const HAS_RESIDUAL = false;

struct Params {
  rows: u32,
  cols: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Scalar>;
@group(0) @binding(1) var<storage, read> residual: array<Scalar>;
@group(0) @binding(2) var<storage, read> gamma: array<Scalar>;
@group(0) @binding(3) var<storage, read> beta: array<Scalar>;
@group(0) @binding(4) var<storage, read_write> out: array<Scalar>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  normalize_row(row, lane);
}

fn element(row: u32, col: u32) -> f32 {
  let i = row * params.cols + col;
  var sum = f32(x[i]);
  if (HAS_RESIDUAL) { sum += f32(residual[i]); }
  return sum;
}
