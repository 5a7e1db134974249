// A block of x, four rows by four of k, in four parts for four threads to load: here one k each.

fn x_part(row: u32, part: u32, chunk: u32) -> vec4f { return x_at(row, 4 * chunk + part); }

// The four k of each row, of the four parts.
fn rows_of(parts: mat4x4f) -> mat4x4f { return transpose(parts); }

// The row and the column of a tile of outputs, of 32 columns. Four tiles across, then down: here a tile's x is as many
// pieces as k is long, and comes from far away unless the tile before had it.
fn place_of(tile: u32, tiles_down: u32) -> vec2u {
  let first = tile / (4 * tiles_down) * 4;
  let across = min(4, (params.n + 31) / 32 - first);
  let rest = tile - first * tiles_down;
  return vec2u(rest / across, first + rest % across);
}
