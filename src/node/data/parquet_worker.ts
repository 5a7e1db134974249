/**
 * The thread that decodes a Parquet file, a slice of a row group at a time. The decoder believes what a file says of its
 * lengths, and may count to 2^31 on the word of one byte: here it can be ended, and takes no more memory than a file of
 * that size may need.
 */

import { isUtf8 } from "node:buffer";
import { constants, fstatSync, openSync, readlinkSync, readSync } from "node:fs";
import { basename } from "node:path";
import { parentPort, workerData } from "node:worker_threads";

/** What the thread is started with. */
export interface ParquetRequest {
  readonly path: string;
  /** The columns to be decoded; all where it is left out. Those that the file lacks are passed over. */
  readonly wanted: readonly string[] | undefined;
  /** A counter, 0 until the file is opened, and growing as long as the decoder gets on; then the thread's number, on Linux. */
  readonly pulse: Int32Array;
}

export interface ParquetOpened {
  readonly is: "opened";
  readonly columns: readonly string[];
  readonly columnsRead: readonly string[];
  /** Rows. */
  readonly total: number;
}

export interface ParquetSlice {
  readonly is: "rows";
  /** Of the first row, from 0. */
  readonly begin: number;
  readonly count: number;
  /** Per column read, its cells. */
  readonly cells: readonly (readonly unknown[])[];
  /** Rows with text that is none, from 0 within the slice, and the column. */
  readonly bad: ReadonlyMap<number, string>;
}

export interface ParquetEnd {
  readonly is: "end";
}

/** What it says when it has opened the file, and to each message then: the next slice, or the end. */
export type ParquetAnswer =
  | ParquetOpened
  | ParquetSlice
  | ParquetEnd
  | { readonly is: "failed"; readonly reason: string };

/** Rows decoded at once. A column chunk without a page index is read again for each slice, so not too few. */
const SLICE = 16_384;

/** Bytes that a slice may take while it is decoded: so many for any file, and so many for each byte of it. */
const ROOM = 256 << 20;
const ROOM_PER_BYTE = 64;

/** Stands for text that is none. */
const NOT_UTF8: unique symbol = Symbol("not UTF-8");

const { path, wanted, pulse } = workerData as ParquetRequest;
const say = (answer: ParquetAnswer): void => parentPort!.postMessage(answer);

const answers = decode();
parentPort!.on("message", () => void next());
void next();

async function next(): Promise<void> {
  try {
    const { value, done } = await answers.next();
    say(done ? { is: "end" } : value);
  } catch (error) {
    say({ is: "failed", reason: error instanceof Error ? error.message : String(error) });
  }
}

async function* decode(): AsyncGenerator<ParquetOpened | ParquetSlice, void> {
  const [{ parquetScan, parquetMetadataAsync, parquetSchema }, { compressors }] = await Promise.all([
    import("hyparquet"),
    import("hyparquet-compressors"),
  ]);
  Atomics.store(pulse, 1, threadNumber());
  Atomics.add(pulse, 0, 1); // what was done so far was not the file's doing, and took what the machine takes
  const file = openSource();
  const room = limitArrays(ROOM + ROOM_PER_BYTE * file.byteLength);
  const metadata = await parquetMetadataAsync(file);
  const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
  const total = Number(metadata.num_rows);
  const counted = metadata.row_groups.reduce((sum, group) => sum + Number(group.num_rows), 0);
  if (columns.length === 0) throw new Error("it has no columns");
  if (!Number.isSafeInteger(total) || counted !== total || metadata.row_groups.some(({ num_rows }) => num_rows < 0)) {
    throw new Error(`its footer counts ${total} rows, its row groups have ${counted}: it is damaged`);
  }
  const columnsRead = wanted ? columns.filter((column) => wanted.includes(column)) : columns;
  const parsers = { stringFromBytes: textOf };
  const scan = await parquetScan({ file, metadata, columns: columnsRead, compressors, parsers });
  yield { is: "opened", columns, columnsRead, total };
  for (const { rowStart, rowEnd } of slices(scan.ranges)) {
    room.refill();
    const bad = new Map<number, string>();
    const cells: unknown[][] = [];
    for (const column of columnsRead) {
      const where = `column ${JSON.stringify(column)}, rows ${rowStart + 1} to ${rowEnd}`;
      const data = await scan.readColumn({ column, rowStart, rowEnd }).catch((error: Error) => {
        throw new Error(`${where}: cannot be decoded (${error.message}): is the file damaged?`, { cause: error });
      });
      if (data.length !== rowEnd - rowStart) {
        throw new Error(`${where}: ${data.length} are there: is the file damaged?`);
      }
      cells.push(
        Array.from(data, (cell: unknown, row) => {
          if (cell !== NOT_UTF8) return plain(cell);
          if (!bad.has(row)) bad.set(row, column);
          return undefined;
        }),
      );
    }
    yield { is: "rows", begin: rowStart, count: rowEnd - rowStart, cells, bad };
  }
}

function threadNumber(): number {
  try {
    return Number(basename(readlinkSync("/proc/thread-self")));
  } catch {
    return 0;
  }
}

/** Opened by number: such are closed when the thread is ended. */
function openSource(): { readonly byteLength: number; slice(start: number, end?: number): Promise<ArrayBuffer> } {
  const fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)); // a FIFO must not block it
  const found = fstatSync(fd);
  if (!found.isFile()) throw new Error(found.isDirectory() ? "it is a directory" : "it is not a regular file");
  const { size } = found;
  return {
    byteLength: size,
    async slice(start, end = size) {
      if (!(start >= 0 && end >= start && end <= size)) {
        throw new RangeError(`bytes ${start}..${end} asked, the file has ${size}`);
      }
      const bytes = new Uint8Array(end - start);
      for (let done = 0; done < bytes.length; ) {
        const count = readSync(fd, bytes, done, Math.min(bytes.length - done, 1 << 30), start + done);
        if (count === 0) throw new Error(`it was ${size} bytes and ends at ${start + done}: it has changed`);
        done += count;
      }
      return bytes.buffer;
    },
  };
}

/**
 * Watches over the arrays that the decoder makes, in this thread alone: the heap's limit does not count them. Each is a
 * sign of life, too.
 * @param most bytes from one `refill` to the next
 */
function limitArrays(most: number): { refill(): void } {
  let left = most;
  const take = (bytes: number): void => {
    Atomics.add(pulse, 0, 1);
    left -= Math.max(bytes, 64); // empty ones without an end are not for ever either
    if (left < 0) throw new RangeError(`more than ${most} bytes to decode at once, too many for a file of its size`);
  };
  const types = globalThis as unknown as Record<string, Uint8ArrayConstructor>;
  for (const name of ["Uint8Array", "Int32Array", "Float32Array", "Float64Array", "BigInt64Array"]) {
    types[name] = new Proxy(types[name]!, {
      construct(type, args: [unknown], target) {
        if (typeof args[0] === "number") take(args[0] * type.BYTES_PER_ELEMENT);
        return Reflect.construct(type, args, target) as object;
      },
    });
  }
  return {
    refill() {
      left = most;
    },
  };
}

function* slices(
  ranges: readonly { rowStart: number; rowEnd: number }[],
): Generator<{ rowStart: number; rowEnd: number }> {
  for (const { rowStart, rowEnd } of ranges) {
    for (let begin = rowStart; begin < rowEnd; begin += SLICE) {
      yield { rowStart: begin, rowEnd: Math.min(begin + SLICE, rowEnd) };
    }
  }
}

function textOf(bytes: Uint8Array | undefined): string | typeof NOT_UTF8 | undefined {
  if (!bytes) return undefined;
  return isUtf8(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8") : NOT_UTF8;
}

/** 64-bit integers as numbers where they are exact. */
function plain(value: unknown): unknown {
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
