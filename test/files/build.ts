/** Safetensors files for tests, well-formed or not, and folders in memory to put them in. */
import { bytesSource, type Folder } from "../../src/files/bytes.ts";

export interface TestTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/** A well-formed file: tensors in the order given, header padded with spaces to 8 bytes as the Rust crate does. */
export function buildSafetensors(
  tensors: Readonly<Record<string, TestTensor>>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const parts: string[] = [];
  if (metadata !== undefined) parts.push(`"__metadata__":${JSON.stringify(metadata)}`);
  const data: Uint8Array[] = [];
  let offset = 0;
  for (const [name, tensor] of Object.entries(tensors)) {
    const end = offset + tensor.data.byteLength;
    const entry = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, end] };
    parts.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    data.push(new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength));
    offset = end;
  }
  const header = `{${parts.join(",")}}`;
  const length = new TextEncoder().encode(header).length;
  return rawSafetensors(header + " ".repeat((8 - (length % 8)) % 8), concat(data));
}

/** Any header, any data; `length`, what the first 8 bytes say, is the true one unless given. */
export function rawSafetensors(
  header: string | Uint8Array,
  data: Uint8Array = new Uint8Array(),
  length?: bigint,
): Uint8Array<ArrayBuffer> {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  return concat([prefix, text, data]);
}

/** The text of one header entry. */
export function entry(dtype: string, shape: readonly number[], begin: number, end: number): string {
  return JSON.stringify({ dtype, shape, data_offsets: [begin, end] });
}

/** A folder in memory; `open` holds the paths that are open at the moment. */
export function memoryFolder(files: Readonly<Record<string, Uint8Array | string>>): Folder & { opened: string[] } {
  const opened: string[] = [];
  return {
    name: "memory",
    opened,
    async open(path) {
      const content = Object.hasOwn(files, path) ? files[path] : undefined;
      if (content === undefined) return undefined;
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      opened.push(path);
      return {
        ...bytesSource(path, bytes),
        async close() {
          const at = opened.indexOf(path);
          if (at >= 0) opened.splice(at, 1);
        },
      };
    },
  };
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}
