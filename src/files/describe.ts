/** Says what a file of tensors or the weights of a model folder are, or everything that is wrong with them. */
import type { ByteSource, Folder } from "./bytes.ts";
import { openCheckpoint, openCheckpointFile } from "./checkpoint.ts";
import type { StoredDType } from "./dtype.ts";
import { CheckpointError } from "./faults.ts";
import { isPyTorch } from "./pytorch/state_dict.ts";

export interface CheckpointDescription {
  readonly kind: "safetensors file" | "PyTorch file" | "model folder";
  /** How many files hold the tensors. */
  readonly files: number;
  readonly tensors: number;
  /** Elements of all tensors. */
  readonly parameters: number;
  /** Of all tensors, headers excluded. */
  readonly bytes: number;
  /** Parameters by type. */
  readonly dtypes: Readonly<Partial<Record<StoredDType, number>>>;
  /** When there are any, the counts above are 0. */
  readonly faults: readonly string[];
  readonly warnings: readonly string[];
}

/** Reads headers only. Closes what it opens, a source it was given included. Faults are returned, not thrown. */
export async function describeCheckpoint(where: ByteSource | Folder): Promise<CheckpointDescription> {
  const isFile = "read" in where;
  let kind: CheckpointDescription["kind"] = isFile ? "safetensors file" : "model folder";
  const dtypes: Partial<Record<StoredDType, number>> = {};
  let parameters = 0;
  let bytes = 0;
  try {
    if (isFile && isPyTorch(await where.read(0, Math.min(16, where.size)))) kind = "PyTorch file";
    const checkpoint = await (isFile ? openCheckpointFile(where) : openCheckpoint(where));
    await checkpoint.close();
    const { tensors, files, warnings } = checkpoint;
    for (const tensor of tensors.values()) {
      parameters += tensor.elements;
      bytes += tensor.bytes;
      dtypes[tensor.dtype] = (dtypes[tensor.dtype] ?? 0) + tensor.elements;
    }
    return { kind, files: files.size, tensors: tensors.size, parameters, bytes, dtypes, faults: [], warnings };
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    return { kind, files: 0, tensors: 0, parameters, bytes, dtypes, faults: error.faults, warnings: [] };
  }
}
