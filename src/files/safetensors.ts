/**
 * Reads safetensors: 8 bytes, the length N of the header (little-endian); N bytes, a JSON object from tensor names to
 * dtype, shape and data_offsets; the data. The rules are those of the Rust crate (safetensors/src/tensor.rs, read_metadata
 * and validate): tensors contiguous without hole or overlap, size = shape x dtype, the
 * data covered exactly. Where the format's own text is stricter, the text is obeyed: the header begins with `{`, no key
 * is given twice, `__metadata__` is not null; and sizes end at 2^53, shapes at 64 dimensions, the header at 8,000,000 bytes. What is accepted here, the
 * crate reads alike.
 */
import { type ByteSource, utf8 } from "./bytes.ts";
import { bitsOf, DTYPES, isStoredDType, type StoredDType } from "./dtype.ts";
import { faultList, looksLike, quote, type Report, SafetensorsError } from "./faults.ts";
import { type JsonScanner, scanJson } from "./json.ts";

export interface TensorInfo {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  /** The product of `shape`; 1 for a scalar. */
  readonly elements: number;
  /** Where its first element begins, counted in bytes from the beginning of the file. */
  readonly begin: number;
  /** What its elements take. */
  readonly bytes: number;
  /** In elements, where they do not lie in row-major order; never so in a safetensors file. */
  readonly strides?: readonly number[];
}

export interface SafetensorsFile {
  readonly source: ByteSource;
  /** In the order of their data. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** `__metadata__`: whatever its writer noted; Hugging Face writes `format`. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Of the header. A real one takes some hundred for a tensor; the crate reads 100 MB, which are seconds and gigabytes here. */
export const MAX_HEADER_BYTES = 8_000_000;

/** NumPy's limit too. Without one, a shape could fill the memory with numbers. */
const MAX_RANK = 64;

const LENGTH_BYTES = 8;

/**
 * Reads and validates the header; of the data, nothing. The source stays open and is the caller's to close.
 * @throws SafetensorsError with every fault found; whatever the source's own `read` throws.
 */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const begin = await source.read(0, Math.min(LENGTH_BYTES, source.size));
  const refuse = (fault: string) => new SafetensorsError(source.name, [fault + looksLike(begin)]);
  if (begin.length < LENGTH_BYTES) {
    throw refuse(`${source.size} bytes, ${LENGTH_BYTES} are needed for the header's length alone`);
  }
  const length = new DataView(begin.buffer, begin.byteOffset).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) throw refuse(`header of ${length} bytes, at most ${MAX_HEADER_BYTES} are read`);
  const data = LENGTH_BYTES + Number(length);
  if (data > source.size) {
    throw refuse(
      `header of ${length} bytes, but ${source.size - LENGTH_BYTES} follow its length: the file is cut short`,
    );
  }
  const text = utf8(await source.read(LENGTH_BYTES, Number(length))); // a byte order mark is kept, and refused
  if (text === undefined) throw refuse("the header is not UTF-8");
  if (!text.startsWith("{")) {
    throw refuse(`the header begins with ${JSON.stringify(text.slice(0, 1))}, it must begin with "{"`);
  }

  const faults = faultList();
  const { entries, metadata } = readHeader(text, faults.add);
  // With an entry missing, every neighbour would look like a hole.
  if (faults.list.length === 0) checkLayout(entries, source.size - data, faults.add);
  if (faults.list.length > 0) throw new SafetensorsError(source.name, faults.list);
  const tensors = new Map<string, TensorInfo>();
  for (const { name, dtype, shape, begin, end } of entries) {
    const elements = shape.reduce((product, size) => product * size, 1);
    tensors.set(name, { name, dtype, shape, elements, begin: begin + data, bytes: end - begin });
  }
  return { source, tensors, metadata };
}

/** An entry as the header has it: `begin` and `end` count from the beginning of the data. */
interface Entry {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** The entries, in the order of their data. */
function readHeader(text: string, report: Report): { entries: Entry[]; metadata: Map<string, string> } {
  const entries: Entry[] = [];
  const metadata = new Map<string, string>();
  const json = scanJson(text);
  try {
    json.object((name, repeated) => {
      if (repeated) report(`${quote(name)} is there twice`);
      if (name === "__metadata__") return readMetadata(json, metadata, report);
      const entry = readEntry(json, name, (fault) => report(`tensor ${quote(name)}: ${fault}`));
      if (entry !== undefined) entries.push(entry);
    });
    json.end();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    report(`the header is not valid JSON: ${error.message}`);
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  return { entries, metadata };
}

function readMetadata(json: JsonScanner, metadata: Map<string, string>, report: Report): void {
  if (json.peek() !== "object") {
    report("__metadata__ is not an object from strings to strings");
    json.skip();
    return;
  }
  readStrings(json, metadata, ["__metadata__: ", "__metadata__: the value of "], report);
}

/** An object from strings to strings. `names`: what its keys, and its values, are called before the key. */
export function readStrings(
  json: JsonScanner,
  into: Map<string, string>,
  names: readonly [key: string, value: string],
  report: Report,
): void {
  json.object((key, repeated) => {
    if (repeated) report(`${names[0]}${quote(key)} is there twice`);
    if (json.peek() === "string") into.set(key, json.string());
    else {
      report(`${names[1]}${quote(key)} is not a string`);
      json.skip();
    }
  });
}

function readEntry(json: JsonScanner, name: string, report: Report): Entry | undefined {
  if (json.peek() !== "object") {
    report("not an object of dtype, shape and data_offsets");
    json.skip();
    return undefined;
  }
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  const seen = new Set<string>();
  json.object((key, repeated) => {
    const known = key === "dtype" || key === "shape" || key === "data_offsets";
    if (!known) return json.skip(); // as serde does, so that a later version may add keys
    if (repeated) report(`${key} is given twice`);
    seen.add(key);
    if (key === "shape") shape = readSizes(json, key, report);
    else if (key === "data_offsets") offsets = readSizes(json, key, report);
    else if (json.peek() === "string") dtype = json.string();
    else {
      report("dtype is not a string");
      json.skip();
    }
  });
  for (const key of ["dtype", "shape", "data_offsets"]) if (!seen.has(key)) report(`no ${key}`);
  if (dtype !== undefined && !isStoredDType(dtype)) {
    report(`dtype ${quote(dtype)} is not one of ${DTYPES.join(", ")}`);
    return undefined;
  }
  if (dtype === undefined || shape === undefined || offsets === undefined) return undefined;
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || offsets.length !== 2) {
    report(`data_offsets has ${offsets.length} numbers, it must have 2`);
    return undefined;
  }
  return { name, dtype, shape, begin, end };
}

/** An array of whole numbers that float64 holds exactly; `undefined`, with the fault reported, for anything else. */
function readSizes(json: JsonScanner, key: string, report: Report): number[] | undefined {
  if (json.peek() !== "array") {
    report(`${key} is not an array`);
    json.skip();
    return undefined;
  }
  const sizes: number[] = [];
  let fault: string | undefined;
  json.array((index) => {
    const literal = json.peek() === "number" ? json.number() : void json.skip();
    const size = literal !== undefined && /^\d{1,16}$/.test(literal) ? Number(literal) : Number.NaN;
    if (index === MAX_RANK) fault ??= `${key} has more than ${MAX_RANK} numbers`;
    if (index < MAX_RANK) sizes.push(size);
    if (Number.isSafeInteger(size)) return;
    const found = literal === undefined ? "not a number" : literal.slice(0, 40);
    fault ??= `${key}[${index}] is ${found}, it must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`;
  });
  if (fault !== undefined) report(fault);
  return fault === undefined ? sizes : undefined;
}

/** `entries` in the order of their data, which must be `available` bytes, each of them in one tensor. */
function checkLayout(entries: readonly Entry[], available: number, report: Report): void {
  let covered = 0;
  let previous = "";
  for (const { name, dtype, shape, begin, end } of entries) {
    const at = `tensor ${quote(name)}`;
    if (end < begin) report(`${at}: data_offsets [${begin}, ${end}] run backwards`);
    else if (begin > covered) report(`${at} begins at byte ${begin} of the data, byte ${covered} is in no tensor`);
    else if (begin < covered) {
      report(`${at} begins at byte ${begin} of the data, before the end of ${quote(previous)} at byte ${covered}`);
    }
    const bytes = byteLength(dtype, shape);
    if (bytes === undefined) report(`${at}: [${shape}] x ${dtype} is more than 2^53 bits`);
    else if (!Number.isInteger(bytes)) report(`${at}: [${shape}] x ${dtype} does not fill whole bytes`);
    else if (end >= begin && bytes !== end - begin) {
      report(`${at}: [${shape}] x ${dtype} takes ${bytes} bytes, its data_offsets hold ${end - begin}`);
    }
    if (end > covered) {
      covered = end;
      previous = name;
    }
  }
  if (covered > available) report(`the tensors take ${covered} bytes, the file has ${available}: it is cut short`);
  if (covered < available)
    report(`the tensors take ${covered} bytes, the file has ${available}: the rest is in no tensor`);
}

/** `undefined` past what float64 counts exactly. A fraction where elements of 4 or 6 bits do not fill bytes. */
function byteLength(dtype: StoredDType, shape: readonly number[]): number | undefined {
  let bits = 1;
  for (const size of [...shape, bitsOf(dtype)]) {
    bits *= size;
    if (!Number.isSafeInteger(bits)) return undefined;
  }
  return bits / 8;
}
