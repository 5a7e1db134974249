/** The bytes of an input, a file or standard input, unpacked where they are gzip. */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";

export interface Chunk {
  readonly bytes: Buffer;
  /** How much of the input has been read, 0 to 1; 0 where its size is unknown. */
  readonly share: number;
}

const GZIP = Buffer.from([0x1f, 0x8b]);
const PARQUET = Buffer.from("PAR1");
/** ZIP, which .xlsx and .ods are, and what .xls is in. */
const OFFICE = [Buffer.from("PK\x03\x04"), Buffer.from([0xd0, 0xcf, 0x11, 0xe0])];
const UTF8_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const UTF16_MARKS = [Buffer.from([0xff, 0xfe]), Buffer.from([0xfe, 0xff])];

/** What messages call an input. */
export function inputName(path: string): string {
  return path === "-" ? "standard input" : path;
}

/**
 * Text as bytes, without a byte order mark. Gzip is told by its first bytes, so that standard input may be gzip too.
 * @param path `-` is standard input
 * @throws Error for what is no file, is damaged gzip, UTF-16, Parquet or a spreadsheet
 */
export async function* readChunks(path: string): AsyncGenerator<Chunk> {
  const { stream, size } = await openStream(path);
  let read = 0;
  const counted = (async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of stream as AsyncIterable<Buffer | string>) {
      const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
      read += bytes.length;
      yield bytes;
    }
  })();
  let unpacked: AsyncIterable<Buffer> | undefined;
  try {
    const packed = await peek(counted, GZIP.length);
    unpacked = startsWith(packed.head, GZIP) ? gunzip(packed.rest) : packed.rest;
    const { head, rest } = await peek(unpacked, 4);
    if (startsWith(head, PARQUET)) throw new Error("it is Parquet; name it .parquet or give --format parquet");
    if (OFFICE.some((mark) => startsWith(head, mark)))
      throw new Error("it is no text but a spreadsheet or an archive; save it as CSV");
    if (UTF16_MARKS.some((mark) => startsWith(head, mark))) throw new Error("it is UTF-16; save it as UTF-8");
    let mark = startsWith(head, UTF8_MARK) ? UTF8_MARK.length : 0;
    for await (const bytes of rest) {
      yield { bytes: bytes.subarray(mark), share: size === undefined ? 0 : Math.min(1, read / size) };
      mark = 0;
    }
  } catch (error) {
    throw new Error(`${inputName(path)}: ${reason(error)}`, { cause: error });
  } finally {
    stream.destroy();
  }
}

async function openStream(path: string): Promise<{ stream: Readable; size: number | undefined }> {
  if (path === "-") return { stream: process.stdin, size: undefined };
  const found = await stat(path);
  if (found.isDirectory()) throw new Error(`${path}: it is a directory; give a file`);
  return { stream: createReadStream(path), size: found.isFile() ? found.size : undefined };
}

/** The first chunk made at least `length` bytes long, where there are as many, and all of it again. */
async function peek(
  chunks: AsyncIterable<Buffer>,
  length: number,
): Promise<{ head: Buffer; rest: AsyncIterable<Buffer> }> {
  const iterator = chunks[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < length) {
    const { done, value } = await iterator.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  const rest = (async function* (): AsyncGenerator<Buffer> {
    if (head.length > 0) yield head;
    yield* { [Symbol.asyncIterator]: () => iterator };
  })();
  return { head, rest };
}

function gunzip(packed: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const unpacked = createGunzip();
  // its failures, and those of what it reads, come out of the iteration
  pipeline(Readable.from(packed), unpacked, () => {});
  return unpacked;
}

const startsWith = (bytes: Buffer, start: Buffer): boolean => bytes.subarray(0, start.length).equals(start);

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "Z_BUF_ERROR") return "the gzip data end too early; is the file complete?";
  if (code?.startsWith("Z_")) return `damaged gzip data (${message})`;
  return message;
}
