/** Checkpoints in several files: the index that says which file holds which tensor, and the files held against it. */
import { type ByteSource, type Folder, readText, unsafePath } from "./bytes.ts";
import { CheckpointError, faultList, quote, type Report } from "./faults.ts";
import { scanJson } from "./json.ts";
import { MAX_HEADER_BYTES, readStrings, type TensorInfo } from "./safetensors.ts";

/** A file of tensors, whatever its format. */
export interface CheckpointFile {
  readonly source: ByteSource;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** What its writer noted; nothing in PyTorch's files. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Reads what is beside the data. @throws CheckpointError with every fault; the source is the caller's to close */
export type OpenFile = (source: ByteSource, warn: Report) => Promise<CheckpointFile>;

/** The largest models there are have some two hundred. */
const MOST_FILES = 1000;

export interface Shards {
  readonly files: ReadonlyMap<string, CheckpointFile>;
  readonly warnings: readonly string[];
}

/** `undefined` when the folder has no such index. @throws CheckpointError with the faults of the index and all shards */
export async function openShards(folder: Folder, indexFile: string, open: OpenFile): Promise<Shards | undefined> {
  const text = await readText(folder, indexFile, MAX_HEADER_BYTES).catch((error: unknown) => {
    // Too long, or not UTF-8: a fault of the file. Anything else is a failure to read it.
    if (!(error instanceof RangeError)) throw error;
    throw new CheckpointError(folder.name, [error.message]);
  });
  if (text === undefined) return undefined;

  const faults = faultList();
  const index = readIndex(text, (fault) => faults.add(`${indexFile}: ${fault}`));
  const files = new Map<string, CheckpointFile>();
  const warnings: string[] = [];
  try {
    const paths = new Set(index.fileOf.values());
    if (paths.size > MOST_FILES)
      throw new CheckpointError(folder.name, [`${paths.size} files, at most ${MOST_FILES} are read`]);
    for (const path of paths) {
      const file = await openShard(folder, path, open, faults.add, (warning) => warnings.push(warning));
      if (file !== undefined) files.set(path, file);
    }
    checkShards(index, files, indexFile, faults.add);
    if (faults.list.length > 0) throw new CheckpointError(folder.name, faults.list);
  } catch (error) {
    for (const { source } of files.values()) await source.close();
    throw error;
  }
  return { files, warnings: [...warnings, ...checkTotal(index, files, indexFile)] };
}

interface Index {
  /** Tensor name -> path of its file within the folder. */
  readonly fileOf: ReadonlyMap<string, string>;
  /** Bytes of all tensors, by the index's own account. */
  readonly totalSize: number | undefined;
}

function readIndex(text: string, report: Report): Index {
  const fileOf = new Map<string, string>();
  let totalSize: number | undefined;
  const json = scanJson(text);
  try {
    json.object((key, repeated) => {
      if (repeated) report(`${quote(key)} is there twice`);
      if (key === "weight_map" && json.peek() === "object")
        readStrings(json, fileOf, ["tensor ", "the file of tensor "], report);
      else if (key === "metadata" && json.peek() === "object") {
        json.object((field) => {
          if (field === "total_size" && json.peek() === "number") totalSize = Number(json.number());
          else json.skip();
        });
      } else json.skip();
    });
    json.end();
    if (fileOf.size === 0) report("it has no weight_map from tensor names to file names");
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    report(`not valid JSON: ${error.message}`);
  }
  return { fileOf, totalSize };
}

async function openShard(
  folder: Folder,
  path: string,
  open: OpenFile,
  report: Report,
  warn: Report,
): Promise<CheckpointFile | undefined> {
  const reason = unsafePath(path);
  if (reason !== undefined) {
    report(`file name ${quote(path)} is refused: ${reason}`);
    return undefined;
  }
  const source = await folder.open(path).catch((error: unknown) => {
    report(error instanceof Error ? error.message : String(error)); // such as a link that leaves the folder
    return null;
  });
  if (source === undefined) report(`${quote(path)} is not there, but tensors are said to be in it`);
  if (source === undefined || source === null) return undefined;
  try {
    return await open(source, warn);
  } catch (error) {
    await source.close();
    if (!(error instanceof CheckpointError)) throw error;
    for (const fault of error.faults) report(`${path}: ${fault}`);
    return undefined;
  }
}

/** Index and files must name the same tensors. */
function checkShards({ fileOf }: Index, files: Shards["files"], indexFile: string, report: Report): void {
  for (const [tensor, path] of fileOf) {
    const file = files.get(path);
    if (file !== undefined && !file.tensors.has(tensor))
      report(`${path}: no tensor ${quote(tensor)}, ${indexFile} has it there`);
  }
  for (const [path, { tensors }] of files) {
    for (const tensor of tensors.keys()) {
      const listed = fileOf.get(tensor);
      if (listed === undefined) report(`${path}: tensor ${quote(tensor)} is not in ${indexFile}`);
      else if (listed !== path)
        report(`${path}: tensor ${quote(tensor)} should be in ${quote(listed)} by ${indexFile}`);
    }
  }
}

/** Only a warning: writers have counted shared tensors in different ways. */
function checkTotal({ totalSize }: Index, files: Shards["files"], indexFile: string): string[] {
  if (totalSize === undefined) return [];
  let bytes = 0;
  for (const { tensors } of files.values()) for (const tensor of tensors.values()) bytes += tensor.bytes;
  return bytes === totalSize ? [] : [`${indexFile}: total_size is ${totalSize}, the tensors take ${bytes} bytes`];
}
