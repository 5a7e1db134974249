// A block of x, four rows by four of k, in four parts for four threads to load: here a row each.

fn x_part(row: u32, part: u32, chunk: u32) -> vec4f { return x_at(row + part, chunk); }

// The four k of each row, of the four parts.
fn rows_of(parts: mat4x4f) -> mat4x4f { return parts; }

// The row and the column of a tile of outputs. Down the rows first: a large weight, such as a vocabulary's, then passes
// through the cache once.
fn place_of(tile: u32, tiles_down: u32) -> vec2u { return vec2u(tile % tiles_down, tile / tiles_down); }
