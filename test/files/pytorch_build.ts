/** Files of torch.save for tests, well-formed or not: a pickle assembler, and the two containers. */

const encoder = new TextEncoder();

/** Bytes of a pickle, or of anything. */
export type Code = readonly number[] | Uint8Array;

export const bytes = (...parts: readonly (Code | string)[]): Uint8Array<ArrayBuffer> => {
  const encoded = parts.map((part) => (typeof part === "string" ? encoder.encode(part) : part));
  const result = new Uint8Array(encoded.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of encoded) {
    result.set(part, at);
    at += part.length;
  }
  return result;
};

/** `size` bytes, little-endian. */
export function little(value: number | bigint, size: 1 | 2 | 4 | 8): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
  return new Uint8Array(view.buffer, 0, size);
}

export const pickle = (...code: readonly (Code | string)[]): Uint8Array<ArrayBuffer> => bytes([0x80, 2], ...code, ".");
export const text = (value: string): Code => bytes("X", little(encoder.encode(value).length, 4), value);
export const int = (value: number | bigint): Code =>
  typeof value === "number" && value === (value | 0)
    ? bytes("J", little(value, 4))
    : bytes([0x8a, 8], little(value, 8));
export const tuple = (...items: readonly Code[]): Code => bytes("(", ...items, "t");
export const ints = (values: readonly number[]): Code => tuple(...values.map(int));
export const list = (...items: readonly Code[]): Code => bytes("](", ...items, "e");
export const dict = (entries: Readonly<Record<string, Code>>): Code =>
  bytes("}(", ...Object.entries(entries).flatMap(([key, value]) => [text(key), value]), "u");
export const global = (module: string, name: string): Code => bytes(`c${module}\n${name}\n`);
export const call = (callee: Code, ...args: readonly Code[]): Code => bytes(callee, tuple(...args), "R");
export const NONE: Code = bytes("N");
export const FALSE: Code = [0x89];
export const ORDERED_DICT: Code = global("collections", "OrderedDict");

export interface TestStorage {
  /** Of torch, such as FloatStorage. */
  readonly type: string;
  readonly data: ArrayBufferView & { readonly length: number };
}

export interface TestView {
  readonly storage: string;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset?: number;
  /** What the pickle says instead of the truth. */
  readonly type?: string;
  readonly elements?: number | bigint;
}

/** Of torch.save, as far as it matters here. */
export interface TestFile {
  readonly storages: Readonly<Record<string, TestStorage>>;
  readonly tensors?: Readonly<Record<string, TestView>>;
  /** Instead of the dict of all tensors. */
  readonly root?: (tensors: Readonly<Record<string, Code>>) => Code;
}

export function tensorCode(file: TestFile, view: TestView, legacy: boolean): Code {
  const { type = file.storages[view.storage]!.type, elements = file.storages[view.storage]!.data.length } = view;
  const id = [text("storage"), global("torch", type), text(view.storage), text("cpu"), int(elements)];
  const storage = bytes(tuple(...id, ...(legacy ? [NONE] : [])), "Q");
  const args = [storage, int(view.offset ?? 0), ints(view.shape), ints(view.strides), FALSE, call(ORDERED_DICT)];
  return call(global("torch._utils", "_rebuild_tensor_v2"), ...args);
}

export function rootCode(file: TestFile, legacy: boolean): Code {
  const entries = Object.entries(file.tensors ?? {});
  const codes = Object.fromEntries(entries.map(([name, view]) => [name, tensorCode(file, view, legacy)]));
  return (file.root ?? dict)(codes);
}

export interface ZipFile {
  readonly name: string;
  readonly content: Uint8Array;
  readonly method?: number;
  readonly flags?: number;
  /** By its own header, where that differs. */
  readonly ownName?: string;
  /** By the directory, where that is wrong. */
  readonly size?: number;
  readonly header?: number;
}

/** A zip archive of stored entries. `zip64`: every size and place in fields of 64 bits. */
export function buildZip(
  files: readonly ZipFile[],
  zip64: boolean = false,
  comment: string = "",
): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const { name, content, method = 0, flags = 0, ownName = name, size = content.length, header = at } of files) {
    const times = new Uint8Array(8); // and the checksum, which is not looked at
    const padding = new Uint8Array(at % 5); // torch pads the extra field for alignment
    const fixed = [little(flags, 2), little(method, 2), times];
    const local = bytes(
      ...["PK\x03\x04", little(45, 2), ...fixed, little(content.length, 4), little(content.length, 4)],
      ...[little(encoder.encode(ownName).length, 2), little(padding.length, 2), ownName, padding, content],
    );
    const extra = zip64 ? bytes([1, 0, 24, 0], little(size, 8), little(size, 8), little(header, 8)) : new Uint8Array();
    const short = (value: number) => (zip64 ? little(0xffffffff, 4) : little(value, 4));
    directory.push(
      bytes(
        ...["PK\x01\x02", little(45, 2), little(45, 2), ...fixed, short(size), short(size)],
        ...[
          little(encoder.encode(name).length, 2),
          little(extra.length, 2),
          new Uint8Array(10),
          short(header),
          name,
          extra,
        ],
      ),
    );
    parts.push(local);
    at += local.length;
  }
  const central = bytes(...directory);
  const [count, wide] = [little(files.length, 8), zip64];
  const record = bytes(
    "PK\x06\x06",
    little(44, 8),
    new Uint8Array(12),
    count,
    count,
    little(central.length, 8),
    little(at, 8),
  );
  const locator = bytes("PK\x06\x07", little(0, 4), little(at + central.length, 8), little(1, 4));
  const end = bytes(
    ...["PK\x05\x06", new Uint8Array(4), little(files.length, 2), little(files.length, 2)],
    ...[little(central.length, 4), little(at, 4), little(comment.length, 2), comment],
  );
  return bytes(...parts, central, ...(wide ? [record, locator] : []), end);
}

/** The entries of torch's archive. */
export function archiveFiles(file: TestFile): ZipFile[] {
  const entry = (name: string, content: Uint8Array): ZipFile => ({ name: `model/${name}`, content });
  return [
    entry("data.pkl", pickle(rootCode(file, false))),
    entry("byteorder", bytes("little")),
    ...Object.entries(file.storages).map(([key, { data }]) => entry(`data/${key}`, raw(data))),
    entry("version", bytes("3\n")),
  ];
}

export const buildArchive = (file: TestFile): Uint8Array<ArrayBuffer> => buildZip(archiveFiles(file));

export const LEGACY_MAGIC: Uint8Array = pickle([0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]);

export interface LegacyParts {
  readonly magic?: Uint8Array;
  readonly protocol?: Uint8Array;
  readonly system?: Uint8Array;
  readonly keys?: Uint8Array;
  readonly data?: Uint8Array;
}

/** Before torch 1.6; any part can be given. */
export function buildLegacy(file: TestFile, parts: LegacyParts = {}): Uint8Array<ArrayBuffer> {
  const storages = Object.entries(file.storages);
  return bytes(
    parts.magic ?? LEGACY_MAGIC,
    parts.protocol ?? pickle(int(1001)),
    parts.system ?? pickle(dict({ protocol_version: int(1001), little_endian: [0x88] })),
    pickle(rootCode(file, true)),
    parts.keys ?? pickle(list(...storages.map(([key]) => text(key)))),
    parts.data ?? bytes(...storages.flatMap(([, { data }]) => [little(data.length, 8), raw(data)])),
  );
}

const raw = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

export const counting = (length: number): Float32Array<ArrayBuffer> => Float32Array.from({ length }, (_, i) => i);

/** All that matters in one file: views in one storage, tied, transposed, sliced, repeated, empty, of no dimension. */
export const FILE: TestFile = {
  storages: {
    "0": { type: "FloatStorage", data: counting(12) },
    "1": { type: "LongStorage", data: BigInt64Array.of(5n, -6n) },
    "2": { type: "FloatStorage", data: new Float32Array() },
  },
  tensors: {
    matrix: { storage: "0", shape: [3, 4], strides: [4, 1] },
    tied: { storage: "0", shape: [3, 4], strides: [4, 1] },
    row: { storage: "0", shape: [4], strides: [1], offset: 4 },
    transposed: { storage: "0", shape: [4, 3], strides: [1, 4] },
    corner: { storage: "0", shape: [2, 2], strides: [4, 1], offset: 6 },
    stepped: { storage: "0", shape: [4], strides: [3], offset: 1 },
    repeated: { storage: "0", shape: [2, 3], strides: [0, 1] },
    scalar: { storage: "0", shape: [], strides: [], offset: 11 },
    single: { storage: "0", shape: [1, 2, 1], strides: [99, 1, 99], offset: 2 },
    longs: { storage: "1", shape: [2], strides: [1] },
    empty: { storage: "2", shape: [0, 3], strides: [3, 1] },
  },
};
export const VALUES: Readonly<Record<string, readonly number[]>> = {
  matrix: [...counting(12)],
  tied: [...counting(12)],
  row: [4, 5, 6, 7],
  transposed: [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11],
  corner: [6, 7, 10, 11],
  stepped: [1, 4, 7, 10],
  repeated: [0, 1, 2, 0, 1, 2],
  scalar: [11],
  single: [2, 3],
  longs: [5, -6],
  empty: [],
};

/** Writes the entries of a zip64 end of directory, with no directory before it. */
export function zip64End({ entries, size, begin }: Record<"entries" | "size" | "begin", bigint>): Uint8Array {
  const record = bytes(
    "PK\x06\x06",
    little(44, 8),
    new Uint8Array(12),
    little(entries, 8),
    little(entries, 8),
    little(size, 8),
    little(begin, 8),
  );
  return bytes(record, "PK\x06\x07", little(0, 4), little(4, 8), little(1, 4), "PK\x05\x06", new Uint8Array(18));
}
