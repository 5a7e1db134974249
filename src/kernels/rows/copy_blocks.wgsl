// Blocks of rows of a matrix to their places in another one, which may be of another type.
//   x    block b, row r, column c at  b * x_block + r * x_stride + c + x_offset
//   out  alike                        b * out_block + r * out_stride + c + out_offset
//        zeros from column `given` on; where ACCUMULATE, what is copied is added to what is there
// One thread owns an element. Adds in f32.

alias In = f32;
alias Out = f32;
const ACCUMULATE = false;
const WORKGROUP_SIZE = 64;

struct Params {
  count: u32, // blocks * rows * cols
  rows: u32, // of a block
  cols: u32,
  given: u32,
  x_block: u32,
  x_stride: u32,
  x_offset: u32,
  out_block: u32,
  out_stride: u32,
  out_offset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<In>;
@group(0) @binding(1) var<storage, read_write> out: array<Out>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP_SIZE + lane;
  if (i >= params.count) { return; }
  let column = i % params.cols;
  let row = i / params.cols % params.rows;
  let block = i / params.cols / params.rows;
  var value = 0.0;
  if (column < params.given) {
    value = f32(x[block * params.x_block + row * params.x_stride + column + params.x_offset]);
  }
  let place = block * params.out_block + row * params.out_stride + column + params.out_offset;
  if (ACCUMULATE) { value += f32(out[place]); }
  out[place] = Out(value);
}
