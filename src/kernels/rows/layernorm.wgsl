// out = (s - mean(s)) / sqrt(variance(s) + eps) * gamma + beta over each row of s = x + residual.
//   x         [rows, cols]
//   residual  [rows, cols]   read if HAS_RESIDUAL
//   gamma     [cols]
//   beta      [cols]
//   out       [rows, cols]
// LANES threads own a row, each every LANES-th vector of it. Computes in f32.
// #import "rows/normalize_row.wgsl"

alias Scalar = f32;
alias Vector = vec4<Scalar>; // Scalar where cols is not a multiple of 4
alias Sum = vec4f; // f32 there
const WIDTH = 4; // of a vector: 1 there
const LANES = 64; // threads of a row
const WORKGROUP_SIZE = 64;
const HAS_RESIDUAL = false;

struct Params {
  rows: u32,
  cols: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read> residual: array<Vector>;
@group(0) @binding(2) var<storage, read> gamma: array<Vector>;
@group(0) @binding(3) var<storage, read> beta: array<Vector>;
@group(0) @binding(4) var<storage, read_write> out: array<Vector>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  lane: Lane,
) {
  normalize_row((group.y * groups.x + group.x) * (WORKGROUP_SIZE / LANES) + lane.thread / LANES, lane);
}

// Where a row begins in each of what is summed, in vectors.
fn starts_of(row: u32, vectors: u32) -> vec3u {
  return vec3u(row * vectors);
}

fn elements(at: vec3u) -> Sum {
  var sum = Sum(x[at.x]);
  if (HAS_RESIDUAL) { sum += Sum(residual[at.x]); }
  return sum;
}
