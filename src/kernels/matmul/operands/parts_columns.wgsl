// Blocks of x, four rows by four of k, in four parts each for four threads to load: here one k each.

fn x_part(row: u32, part: u32, chunk: u32) -> vec4f { return x_at(row + part / 4 * 4, 4 * chunk + part % 4); }

// The four k of each row, of the four parts of a block.
fn rows_of(parts: mat4x4f) -> mat4x4f { return transpose(parts); }

// The tile of outputs that comes at this turn. Four of 32 columns across, then down: here a tile's x is as many pieces
// as k is long, and comes from far away unless the tile before had it.
fn turn_of(tile: u32) -> u32 {
  let tiles_down = (params.m + 15) / 16;
  let first = tile / (4 * tiles_down) * 4;
  let across = min(4, (params.n + 31) / 32 - first);
  let rest = tile - first * tiles_down;
  return (first + rest % across) * tiles_down + rest / across;
}
