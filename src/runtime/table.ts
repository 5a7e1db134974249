/** Tables on the GPU, and streams of elements into them: weights pass through in slices and are never held whole. */

import type { ScalarArray } from "../files/dtype.ts";
import type { Allocation, Room } from "./allocation.ts";
import { BYTES, type DType, sizeOf, type Tensor } from "./tensor.ts";

/**
 * A matrix of [rows, cols] whose rows may be spread over several tensors, because one storage binding is bounded (128
 * MiB by default; the word table of a multilingual BERT is 367 MB). Every part but the last has `rowsPerPart` rows.
 */
export interface Table {
  readonly rows: number;
  readonly cols: number;
  readonly rowsPerPart: number;
  readonly parts: readonly Tensor[];
}

/**
 * A [rows, cols] matrix, spread over as many tensors as the device's binding size asks for.
 * @param rowsPerPart as those of another table are split
 * @throws RangeError when a storage binding holds too little for that
 */
export function allocateTable(
  room: Room,
  label: string,
  rows: number,
  cols: number,
  dtype: DType,
  rowsPerPart?: number,
): Table {
  const rowBytes = cols * BYTES[dtype];
  const most = Math.floor(room.mostBytes / rowBytes);
  // parts begin at multiples of eight rows, so that those of one column of f16 begin at a word
  const perPart = rowsPerPart ?? (rows <= most ? rows : Math.floor(most / 8) * 8);
  if (perPart < 1) {
    throw new RangeError(
      `${label}: eight rows take ${8 * rowBytes} bytes, a storage binding of this device holds at most ${room.mostBytes}`,
    );
  }
  const parts: Tensor[] = [];
  for (let row = 0; row < rows; row += perPart) {
    const partLabel = rows <= perPart ? label : `${label} rows ${row}..`;
    parts.push(room.tensor(partLabel, [Math.min(perPart, rows - row), cols], dtype));
  }
  return { rows, cols, rowsPerPart: perPart, parts };
}

/** A tensor as a table of one column. */
export function asTable(tensor: Tensor): Table {
  const rows = sizeOf(tensor.shape);
  return { rows, cols: 1, rowsPerPart: rows, parts: [tensor] };
}

/**
 * Fills the parts of `table`, which is of the allocation, in row-major order.
 * @throws RangeError when the stream is shorter or longer than the table
 */
export async function streamTable(
  allocation: Allocation,
  table: Table,
  stream: AsyncIterable<ScalarArray>,
): Promise<void> {
  const label = table.parts[0]!.label;
  const perPart = table.rowsPerPart * table.cols;
  const total = table.rows * table.cols;
  let written = 0;
  // Writes begin at multiples of 4 bytes: an odd f16 waits here for its neighbour.
  let carry: number | undefined;

  const write = (data: ScalarArray): void => {
    for (let from = 0; from < data.length; ) {
      const part = table.parts[Math.floor(written / perPart)]!;
      const offset = written % perPart;
      const count = Math.min(data.length - from, perPart - offset);
      part.write(data.subarray(from, from + count), offset);
      from += count;
      written += count;
    }
  };

  for await (let data of stream) {
    if (written + data.length + (carry === undefined ? 0 : 1) > total) {
      throw new RangeError(`${label}: more elements than the ${total} of [${table.rows}, ${table.cols}]`);
    }
    if (data instanceof Uint16Array) {
      if (carry !== undefined) {
        const joined = new Uint16Array(data.length + 1);
        joined[0] = carry;
        joined.set(data, 1);
        data = joined;
        carry = undefined;
      }
      if (data.length % 2 === 1 && written + data.length < total) {
        carry = data.at(-1)!;
        data = data.subarray(0, -1);
      }
    }
    write(data);
    await allocation.flush(data.byteLength);
  }
  if (carry !== undefined) write(Uint16Array.of(carry));
  if (written !== total) {
    throw new RangeError(`${label}: ${written} elements, [${table.rows}, ${table.cols}] needs ${total}`);
  }
}
