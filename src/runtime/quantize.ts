/** Weights to int8 as they arrive: symmetric, one scale for each row, four int8 in a u32. */

import type { ScalarArray } from "../files/dtype.ts";
import type { Allocation, Room } from "./allocation.ts";
import { allocateTable, type Table } from "./table.ts";

/** A matrix of [rows, cols] in int8: element = int8 * scale of its row. */
export interface QuantizedTable {
  /** u32 [rows, ceil(cols / 4)], the first of four int8 in the lowest byte; zeros past `cols`. */
  readonly codes: Table;
  /** f32 [rows, 1], its rows split as those of `codes`. */
  readonly scales: Table;
  /** Elements of a row. */
  readonly cols: number;
}

/** The WGSL language feature that multiplies four int8 at once. */
const INT8_FEATURE = "packed_4x8_integer_dot_product";

/**
 * What WGSL lacks here for int8, or undefined. Only a browser can lack it, and tells so; Dawn in Node has it.
 */
export function missingForInt8(): string | undefined {
  const gpu = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  return !gpu || gpu.wgslLanguageFeatures.has(INT8_FEATURE) ? undefined : INT8_FEATURE;
}

/** Allocates an empty int8 matrix. @throws RangeError when a storage binding does not hold one row */
export function quantizedTable(room: Room, label: string, rows: number, cols: number): QuantizedTable {
  const codes = allocateTable(room, label, rows, Math.ceil(cols / 4), "u32");
  return { codes, scales: allocateTable(room, `${label} scales`, rows, 1, "f32", codes.rowsPerPart), cols };
}

/**
 * Quantises one row: scale = max|row| / 127, int8 = round(value / scale). Writes into `codes`, ceil(row.length / 4)
 * words, and returns the scale: 0 for a row of zeros, NaN for one that holds an infinity or NaN.
 */
export function quantizeRow(row: Float32Array, codes: Uint32Array): number {
  let largest = 0;
  for (const value of row) largest = Math.max(largest, Math.abs(value));
  codes.fill(0);
  if (!Number.isFinite(largest)) return Number.NaN;
  const scale = Math.fround(largest / 127);
  if (scale === 0) return 0;
  for (let i = 0; i < row.length; i++) {
    const code = Math.max(-127, Math.min(127, Math.round(row[i]! / scale)));
    codes[i >> 2]! |= (code & 0xff) << (8 * (i % 4));
  }
  return scale;
}

/**
 * Fills `table` from a stream of f32 in row-major order, a row at a time: beside the stream's slice, one slice's codes
 * and one row are held.
 * @throws RangeError when the stream is shorter or longer than the matrix, TypeError when it is not f32
 */
export async function streamQuantized(
  allocation: Allocation,
  { codes, scales, cols }: QuantizedTable,
  stream: AsyncIterable<ScalarArray>,
): Promise<void> {
  const label = codes.parts[0]!.label;
  const row = new Float32Array(cols);
  const scaleOf = new Float32Array(codes.rows);
  let filled = 0; // of `row`
  let done = 0; // rows
  for await (const data of stream) {
    if (!(data instanceof Float32Array)) throw new TypeError(`${label}: int8 is made of f32, the stream holds f16`);
    const words = new Uint32Array(Math.floor((filled + data.length) / cols) * codes.cols);
    const first = done;
    if (first + words.length / codes.cols > codes.rows) {
      throw new RangeError(`${label}: more elements than the ${codes.rows * cols} of [${codes.rows}, ${cols}]`);
    }
    for (let from = 0; from < data.length; ) {
      const count = Math.min(cols - filled, data.length - from);
      row.set(data.subarray(from, from + count), filled);
      from += count;
      filled += count;
      if (filled < cols) continue;
      const at = (done - first) * codes.cols;
      scaleOf[done] = quantizeRow(row, words.subarray(at, at + codes.cols));
      done += 1;
      filled = 0;
    }
    writeRows(codes, first, words);
    await allocation.flush(words.byteLength);
  }
  if (done !== codes.rows || filled > 0) {
    throw new RangeError(
      `${label}: ${done * cols + filled} elements, [${codes.rows}, ${cols}] needs ${codes.rows * cols}`,
    );
  }
  writeRows(scales, 0, scaleOf);
}

/** Whole rows of 4-byte elements into the parts they fall into. */
function writeRows(table: Table, first: number, data: Uint32Array | Float32Array): void {
  const rows = data.length / table.cols;
  for (let row = 0; row < rows; ) {
    const inPart = (first + row) % table.rowsPerPart;
    const count = Math.min(rows - row, table.rowsPerPart - inPart);
    const part = table.parts[Math.floor((first + row) / table.rowsPerPart)]!;
    part.write(data.subarray(row * table.cols, (row + count) * table.cols), inPart * table.cols);
    row += count;
  }
}
