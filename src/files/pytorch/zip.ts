/**
 * Reads zip archives (APPNOTE.TXT of PKWARE, 4.3; zip64 included) whose entries are stored as they are, which is how
 * torch writes them so that they can be mapped into memory. Checksums are not checked: torch can be told not to compute
 * them.
 */
import type { ByteSource } from "../bytes.ts";
import { faultList, PyTorchError, quote } from "../faults.ts";

export interface ZipEntry {
  readonly name: string;
  /** Bytes that it takes in the archive. */
  readonly size: number;
  /** Where its own header is, which stands before its bytes. */
  readonly header: number;
  /** Why its bytes are not its content. */
  readonly disguise?: string;
}

export interface ZipDirectory {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** Where it begins: all entries lie before. */
  readonly begin: number;
}

/** Signatures of records, and the bytes of each without what is of any length. */
const END = 0x06054b50;
const END_BYTES = 22;
const END64 = 0x06064b50;
const END64_BYTES = 56;
const LOCATOR64 = 0x07064b50;
const LOCATOR64_BYTES = 20;
const CENTRAL = 0x02014b50;
const CENTRAL_BYTES = 46;
const LOCAL = 0x04034b50;
const LOCAL_BYTES = 30;

const MAX_COMMENT_BYTES = 0xffff;
const MAX_ENTRIES = 100_000;
const MAX_DIRECTORY_BYTES = 33_554_432;

/** In a 32-bit field: the value is in a field of 64 bits. */
const ELSEWHERE = 0xffffffff;

/** Encrypted (bit 0), strongly so (6), with a masked directory (13). */
const ENCRYPTED = 0x2041;

/** Every entry by name. @throws PyTorchError with every fault of the directory */
export async function readZipDirectory(source: ByteSource): Promise<ZipDirectory> {
  const { begin, bytes, count } = await findDirectory(source);
  const view = viewOf(await source.read(begin, bytes));
  const faults = faultList();
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    const fits = at + CENTRAL_BYTES <= bytes && uint32(view, at) === CENTRAL;
    const lengths = fits ? [28, 30, 32].map((field) => uint16(view, at + field)) : [];
    const end = lengths.reduce((sum, length) => sum + length, at + CENTRAL_BYTES);
    if (!fits || end > bytes) throw refuse(source, `the zip directory is damaged at its entry ${i} of ${count}`);
    const entry = readEntry(view, at, lengths[0]!, lengths[1]!);
    if (entries.has(entry.name)) faults.add(`entry ${quote(entry.name)} is there twice`);
    if (!(entry.header + LOCAL_BYTES + entry.size <= begin)) {
      faults.add(`entry ${quote(entry.name)} of ${entry.size} bytes at byte ${entry.header} is not within the archive`);
    }
    entries.set(entry.name, entry);
    at = end;
  }
  if (at !== bytes) faults.add(`the zip directory has ${bytes} bytes, its ${count} entries take ${at}`);
  if (faults.list.length > 0) throw new PyTorchError(source.name, faults.list);
  return { entries, begin };
}

/** Where an entry's bytes begin. @throws PyTorchError when its own header contradicts the directory */
export async function findContent(
  source: ByteSource,
  { name, size, header, disguise }: ZipEntry,
  directory: ZipDirectory,
): Promise<number> {
  const at = `entry ${quote(name)}`;
  if (disguise !== undefined)
    throw refuse(source, `${at} ${disguise}; torch stores its files as they are: save it again`);
  const fixed = viewOf(await source.read(header, LOCAL_BYTES));
  const method = uint16(fixed, 8);
  const nameBytes = uint16(fixed, 26);
  const begin = header + LOCAL_BYTES + nameBytes + uint16(fixed, 28);
  if (uint32(fixed, 0) !== LOCAL) throw refuse(source, `${at}: there is no entry at byte ${header}`);
  if (begin + size > directory.begin) {
    const other = `the directory of the archive at byte ${directory.begin}`;
    throw refuse(source, `${at}: its ${size} bytes begin at byte ${begin}, ${other}`);
  }
  const own = textOf(await source.read(header + LOCAL_BYTES, nameBytes));
  if (own !== name || method !== 0) {
    throw refuse(source, `${at}: its own header calls it ${quote(own)}, compressed by method ${method}`);
  }
  return begin;
}

interface DirectoryPlace {
  readonly begin: number;
  readonly bytes: number;
  readonly count: number;
}

async function findDirectory(source: ByteSource): Promise<DirectoryPlace> {
  const tail = Math.min(source.size, END_BYTES + MAX_COMMENT_BYTES + LOCATOR64_BYTES);
  const view = viewOf(await source.read(source.size - tail, tail));
  const isEnd = (at: number): boolean => uint32(view, at) === END && at + END_BYTES + uint16(view, at + 20) === tail;
  // The last record whose comment ends where the file does.
  let at = tail - END_BYTES;
  while (at >= 0 && !isEnd(at)) at--;
  if (at < 0) throw refuse(source, "the zip archive has no directory at its end: it is cut short");
  const end = source.size - tail + at;

  const locator = at - LOCATOR64_BYTES;
  if (locator >= 0 && uint32(view, locator) === LOCATOR64) {
    return findDirectory64(source, uint64(view, locator + 8), end - LOCATOR64_BYTES);
  }
  const place = {
    begin: uint32(view, at + 16),
    bytes: uint32(view, at + 12),
    count: uint16(view, at + 10),
  };
  const disks = uint16(view, at + 4) + uint16(view, at + 6);
  return checkDirectory(source, place, end, disks);
}

async function findDirectory64(source: ByteSource, at: number, end: number): Promise<DirectoryPlace> {
  if (!(at + END64_BYTES <= end)) throw refuse(source, `the zip64 record is said to be at byte ${at}, it is not`);
  const view = viewOf(await source.read(at, END64_BYTES));
  if (uint32(view, 0) !== END64) throw refuse(source, `there is no zip64 record at byte ${at}`);
  const place = { begin: uint64(view, 48), bytes: uint64(view, 40), count: uint64(view, 32) };
  return checkDirectory(source, place, at, uint32(view, 16) + uint32(view, 20));
}

function checkDirectory(source: ByteSource, place: DirectoryPlace, end: number, disks: number): DirectoryPlace {
  const { begin, bytes, count } = place;
  if (disks !== 0) throw refuse(source, "the zip archive is one part of several");
  if (begin + bytes !== end) {
    throw refuse(source, `the zip directory of ${bytes} bytes at byte ${begin} does not end at byte ${end}`);
  }
  if (bytes > MAX_DIRECTORY_BYTES || count > MAX_ENTRIES) {
    const most = `${MAX_ENTRIES} in ${MAX_DIRECTORY_BYTES} bytes`;
    throw refuse(source, `the zip directory has ${count} entries in ${bytes} bytes, at most ${most} are read`);
  }
  return place;
}

function readEntry(view: DataView, at: number, nameBytes: number, extraBytes: number): ZipEntry {
  const from = view.byteOffset + at + CENTRAL_BYTES;
  const name = textOf(new Uint8Array(view.buffer, from, nameBytes));
  const flags = uint16(view, at + 8);
  const method = uint16(view, at + 10);
  // 32-bit fields in the order in which the extra field has those of 64 bits.
  const [size, compressed, header] = wideFields(
    [24, 20, 42].map((field) => uint32(view, at + field)),
    new DataView(view.buffer, from + nameBytes, extraBytes),
  );
  const entry = { name, size: compressed!, header: header! };
  if ((flags & ENCRYPTED) !== 0) return { ...entry, disguise: "is encrypted" };
  if (method !== 0 || size !== compressed) return { ...entry, disguise: `is compressed (method ${method})` };
  return entry;
}

/** The values, those that are `ELSEWHERE` from the zip64 extra field; NaN, which fits nowhere, when that lacks them. */
function wideFields(values: readonly number[], extra: DataView): number[] {
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const id = uint16(extra, at);
    const end = at + 4 + uint16(extra, at + 2);
    if (id === 1 && end <= extra.byteLength) {
      let next = at + 4;
      return values.map((value) => {
        if (value !== ELSEWHERE) return value;
        next += 8;
        return next <= end ? uint64(extra, next - 8) : Number.NaN;
      });
    }
    at = end;
  }
  return values.map((value) => (value === ELSEWHERE ? Number.NaN : value));
}

const refuse = (source: ByteSource, fault: string): PyTorchError => new PyTorchError(source.name, [fault]);

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const uint16 = (view: DataView, at: number): number => view.getUint16(at, true);
const uint32 = (view: DataView, at: number): number => view.getUint32(at, true);
/** Rounded only where far beyond any file. */
const uint64 = (view: DataView, at: number): number => Number(view.getBigUint64(at, true));

/** For comparing and for messages: what is not UTF-8 is called by what can be read of it. */
const textOf = (bytes: Uint8Array): string => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
