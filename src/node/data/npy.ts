/** NumPy's .npy: one matrix of vectors, row n of it for row n of the input. */

import { open } from "node:fs/promises";
import type { Column, Layout } from "./rows.ts";

/** Bytes. Wide enough for any shape, so that the number of rows can be written in place at the end. */
const HEADER = 128;

type Vector = Float32Array | Int8Array | Uint8Array;

interface Matrix {
  readonly dtype: string;
  readonly length: number;
  readonly rowBytes: number;
}

/**
 * The number of rows follows from the size of the file. A row that is left out keeps its place: NaN, or 0 in integers.
 * @throws Error unless there is one column and it is of vectors
 */
export function npyLayout(columns: readonly Column[]): Layout {
  const vectors = columns.find(({ type }) => type === "vector")?.name;
  if (vectors === undefined)
    throw new Error(".npy holds vectors alone; these results have none: use .jsonl, .csv or .parquet");
  let matrix: Matrix | undefined;
  /** Rows left out before the first vector told how long they are. */
  let owed = 0;
  return {
    head: "",
    encode(row, values) {
      const vector = values?.[vectors] as Vector | null | undefined;
      if (!vector) {
        if (matrix) return blank(matrix);
        owed++;
        return "";
      }
      const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
      if (matrix) {
        const { length, dtype } = matrix;
        if (vector.length === length && dtypeOf(vector) === dtype) return bytes;
        throw new Error(
          `row ${row}: a vector of ${vector.length} ${dtypeOf(vector)}, those before have ${length} ${dtype}`,
        );
      }
      matrix = { dtype: dtypeOf(vector), length: vector.length, rowBytes: vector.byteLength };
      const first = matrix;
      return Buffer.concat([header(first, 0), ...Array.from({ length: owed }, () => blank(first)), bytes]);
    },
    async recover(path) {
      const found = await read(path);
      if (!found || found.length === 0) return { end: 0, row: 0 };
      matrix = found;
      return { end: HEADER + found.rows * found.rowBytes, row: found.rows };
    },
    async complete(partial) {
      const found = await read(partial);
      const file = await open(partial, "r+");
      try {
        const none: Matrix = { dtype: "<f4", length: 0, rowBytes: 0 };
        await file.write(header(found ?? none, found?.rows ?? owed), 0, HEADER, 0);
      } finally {
        await file.close();
      }
      return partial;
    },
  };
}

/** Version 1.0: magic, length, then a Python dictionary padded with spaces. */
function header({ dtype, length }: Pick<Matrix, "dtype" | "length">, rows: number): Buffer {
  const bytes = Buffer.alloc(HEADER, " ");
  bytes.write("\x93NUMPY\x01\x00", 0, "latin1");
  bytes.writeUInt16LE(HEADER - 10, 8);
  bytes.write(`{'descr': '${dtype}', 'fortran_order': False, 'shape': (${rows}, ${length}), }`, 10, "latin1");
  bytes[HEADER - 1] = 0x0a;
  return bytes;
}

/** Of a file written here, perhaps torn. */
async function read(path: string): Promise<(Matrix & { rows: number }) | undefined> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size < HEADER) return undefined;
    const bytes = Buffer.alloc(HEADER);
    await file.read(bytes, 0, HEADER, 0);
    const match = /'descr': '(.*?)', .*'shape': \(\d+, (\d+)\)/.exec(bytes.toString("latin1"));
    if (!match) throw new Error(`${path}: not a .npy file that was written here; --force starts anew`);
    const [, dtype, length] = match;
    const rowBytes = Number(length) * (dtype === "<f4" ? 4 : 1);
    const rows = rowBytes === 0 ? 0 : Math.floor((size - HEADER) / rowBytes);
    return { dtype: dtype!, length: Number(length), rowBytes, rows };
  } finally {
    await file.close();
  }
}

function dtypeOf(vector: Vector): string {
  if (vector instanceof Float32Array) return "<f4";
  return vector instanceof Int8Array ? "|i1" : "|u1";
}

function blank({ dtype, length, rowBytes }: Matrix): Uint8Array {
  return dtype === "<f4" ? new Uint8Array(new Float32Array(length).fill(Number.NaN).buffer) : new Uint8Array(rowBytes);
}
