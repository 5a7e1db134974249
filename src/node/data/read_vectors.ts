/** NumPy's .npy as vectors: what `embed --output vectors.npy` and `numpy.save` write. */

import { openFile } from "../folder.ts";

/** Bytes. A header says a shape and a type; those of records, which are long, are not read. */
const MOST_HEADER = 65_536;

const TYPES = { "<f4": Float32Array, "<f8": Float64Array, "|i1": Int8Array, "|u1": Uint8Array } as const;

export type NpyVectors = Float32Array[] | Float64Array[] | Int8Array[] | Uint8Array[];

/**
 * The rows of a matrix, all of which is held in memory: views of one array.
 * @throws Error for what is no .npy file, or cut off; for other shapes than [rows, columns], in Fortran's order, and for
 * other types than float32, float64, int8 and uint8, little-endian
 */
export async function readVectors(path: string): Promise<NpyVectors> {
  const source = await openFile(path);
  const wrong = (what: string): Error => new Error(`${path}: ${what}`);
  try {
    const start = Buffer.from(await source.read(0, Math.min(12, source.size)));
    if (start.length < 12 || start.toString("latin1", 0, 6) !== "\x93NUMPY") throw wrong("it is no .npy file");
    const begin = start[6] === 1 ? 10 : 12;
    const length = begin === 10 ? start.readUInt16LE(8) : start.readUInt32LE(8);
    if (length > MOST_HEADER || begin + length > source.size) throw wrong(`its header has ${length} bytes`);
    const header = Buffer.from(await source.read(begin, length)).toString("latin1");
    const [, type = ""] = /'descr': *'([^']*)'/.exec(header) ?? [];
    const shape = /'shape': *\(([^)]*)\)/.exec(header)?.[1]?.match(/\d+/g)?.map(Number) ?? [];
    if (!Object.hasOwn(TYPES, type))
      throw wrong(`its type is ${JSON.stringify(type)}; there are ${Object.keys(TYPES).join(", ")}`);
    if (shape.length !== 2 || /'fortran_order': *True/.test(header)) {
      throw wrong(
        `its shape is (${shape.join(", ")})${shape.length === 2 ? " in Fortran's order" : ""}; rows of vectors are read`,
      );
    }
    const [rows, columns] = shape as [number, number];
    const array = TYPES[type as keyof typeof TYPES];
    const bytes = rows * columns * array.BYTES_PER_ELEMENT;
    const there = source.size - begin - length;
    if (there !== bytes) throw wrong(`${there} bytes after its header, (${rows}, ${columns}) of ${type} take ${bytes}`);
    const data = new array((await source.read(begin + length, bytes)).buffer as ArrayBuffer);
    return Array.from({ length: rows }, (_, i) => data.subarray(i * columns, (i + 1) * columns)) as NpyVectors;
  } finally {
    await source.close();
  }
}
