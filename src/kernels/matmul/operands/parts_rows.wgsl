// Blocks of x, four rows by four of k, in four parts each for four threads to load: here a row each.

fn x_part(row: u32, part: u32, chunk: u32) -> vec4f { return x_at(row + part, chunk); }

// The four k of each row, of the four parts of a block.
fn rows_of(parts: mat4x4f) -> mat4x4f { return parts; }

// The tile of outputs that comes at this turn.
fn turn_of(tile: u32) -> u32 { return tile; }
