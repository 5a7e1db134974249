// Who is in the batch of a step of decoding: each row is a slot of one of the sources that are still worked on.

const NOBODY = 0xffffffffu; // in place of a source: the rows stand empty
const WIDTH = 1; // slots of a source: beams, or sequences that are asked for

@group(0) @binding(0) var<storage, read> batch: array<u32>;

// The slot of a row; NOBODY for a row that stands empty.
fn slot_of(row: u32) -> u32 {
  let source = batch[row / WIDTH];
  return select(source * WIDTH + row % WIDTH, NOBODY, source == NOBODY);
}
