// out[i] = table[indices[i] - first_row], for the indices that this part of a table holds; no other row is written.
//   table    [table_rows, cols]  rows first_row to first_row + table_rows of the whole
//   indices  [count]
//   out      [count, cols]
// Words are four u32 where rows divide into them, else a u32: an f32 or two f16, so that every bit pattern survives. A
// GPU may flush a subnormal that it loads as a float; only rows of an odd number of f16 must be copied as f16.
// One workgroup owns a row of the output, its threads every WORKGROUP_SIZE-th word.

alias Word = vec4<u32>;
const WORKGROUP_SIZE = 32;

struct Params {
  count: u32,
  row_words: u32,
  first_row: u32,
  table_rows: u32,
}

@group(0) @binding(0) var<storage, read> table: array<Word>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<Word>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.count) { return; }
  let index = indices[row];
  if (index < params.first_row || index - params.first_row >= params.table_rows) { return; }
  let table_start = (index - params.first_row) * params.row_words;
  let out_start = row * params.row_words;
  for (var i = lane; i < params.row_words; i += WORKGROUP_SIZE) { out[out_start + i] = table[table_start + i]; }
}
