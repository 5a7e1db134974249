/** Streams of elements into tensors: weights pass through in slices and are never held whole. */

import type { ScalarArray } from "../files/dtype.ts";
import type { Allocation } from "./allocation.ts";
import { sizeOf, type Table, type Tensor } from "./tensor.ts";

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
        carry = data[data.length - 1]!;
        data = data.subarray(0, data.length - 1);
      }
    }
    write(data);
    await allocation.flush();
  }
  if (carry !== undefined) write(Uint16Array.of(carry));
  if (written !== total) {
    throw new RangeError(`${label}: ${written} elements, [${table.rows}, ${table.cols}] needs ${total}`);
  }
}
