/** Where files come from: a folder on disk, an HTTP server, a dropped file, memory. The only I/O interface of the engine. */

/** A file that can be read in slices, so that a large one is never held whole. */
export interface ByteSource {
  /** For messages. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Exactly `length` bytes from `offset`; rejects when the source is shorter. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Releases what `open` took; safe to call twice. */
  close(): Promise<void>;
}

/** A set of files by relative path, such as a model folder in Hugging Face layout. */
export interface Folder {
  /** For messages. */
  readonly name: string;
  /** `undefined` when there is no such file. Rejects a path that leaves the folder. */
  open(path: string): Promise<ByteSource | undefined>;
}

/** A `ByteSource` over bytes in memory. */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.byteLength,
    async read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > bytes.byteLength) {
        throw new RangeError(`${name}: bytes ${offset}..${offset + length} asked, the file has ${bytes.byteLength}`);
      }
      return bytes.subarray(offset, offset + length);
    },
    async close() {},
  };
}

/**
 * The whole file as text; `undefined` when it is not there. For configuration files, hence the cap (bytes).
 * @throws RangeError past the cap, and when it is not UTF-8
 */
export async function readText(folder: Folder, path: string, most: number = 64 << 20): Promise<string | undefined> {
  const source = await folder.open(path);
  if (source === undefined) return undefined;
  try {
    if (source.size > most)
      throw new RangeError(`${source.name}: ${source.size} bytes, at most ${most} are read as text`);
    const text = utf8(await source.read(0, source.size));
    if (text === undefined) throw new RangeError(`${source.name}: not UTF-8`);
    return text.replace(/^\ufeff/, "");
  } finally {
    await source.close();
  }
}

/** With its byte order mark, where it has one; undefined when it is not UTF-8. */
export function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/**
 * Why a relative path, perhaps read from an untrusted file, must not be opened; `undefined` when it stays within its
 * folder on every system: read by POSIX, by Windows, or as part of a URL. Every `Folder` asks this first.
 */
export function unsafePath(path: string): string | undefined {
  if (path === "") return "it is empty";
  if (/\p{Control}/u.test(path)) return "it has a control character";
  if (path.includes("\\")) return "it has a backslash";
  if (/%[0-9a-f]{2}/i.test(path)) return "it is percent-encoded";
  if (path.includes(":")) return "it has a colon, as a drive or a URL has";
  if (path.startsWith("/")) return "it is absolute";
  const segment = path.split("/").find((part) => part === "" || part === "." || part === "..");
  return segment === undefined ? undefined : `it has the segment "${segment}"`;
}
