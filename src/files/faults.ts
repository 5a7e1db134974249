/** Faults of files: collected, bounded, thrown together, so that a checkpoint is mended in one go. */

/** A file made to be hostile could have millions; nobody reads past these. */
const MOST = 100;

/** An error that lists what is wrong with a file or a folder: bounded, however much that is. */
export class FaultsError extends Error {
  /** The first hundred, each cut to a paragraph, and how many more there are. */
  readonly faults: readonly string[];

  /** `file`: its name, or the folder's. */
  constructor(file: string, faults: readonly string[]) {
    const told = faults.slice(0, MOST).map((fault) => fault.slice(0, 2000));
    if (faults.length > MOST) told.push(`and ${faults.length - MOST} more`);
    super(`${file}: ${told.length > 1 ? `${faults.length} faults\n- ${told.join("\n- ")}` : told[0]}`);
    this.faults = told;
  }
}

/** Everything that is wrong with a model's weights: with a file, or with a folder of them. */
export class CheckpointError extends FaultsError {
  override readonly name: string = "CheckpointError";
}

/** What is wrong with a safetensors file. */
export class SafetensorsError extends CheckpointError {
  override readonly name = "SafetensorsError";
}

/** What is wrong with a file of torch.save. */
export class PyTorchError extends CheckpointError {
  override readonly name = "PyTorchError";
}

export type Report = (fault: string) => void;

/** Collects faults. */
export function faultList(): { readonly list: readonly string[]; readonly add: Report } {
  const list: string[] = [];
  return { list, add: (fault) => void list.push(fault) };
}

/** What an untrusted file has, for a message: escaped and cut. */
export function quote(value: unknown): string {
  // JSON has no Infinity
  return `${typeof value === "number" ? value : JSON.stringify(value)}`.slice(0, 200);
}

/** What people have instead of the weights, told by its first bytes, with the remedy. */
export function looksLike(bytes: Uint8Array): string {
  const text = String.fromCharCode(...bytes);
  if (text.startsWith("version ")) return "; it is a Git LFS pointer, not the file itself: run `git lfs pull`";
  if (text.startsWith("PK\x03\x04") || text.startsWith("\x80\x02"))
    return "; it is a file of torch.save, not safetensors";
  if (/^<(!doc|html)/i.test(text)) return "; it is a web page: the download went wrong";
  if (text.startsWith("GGUF")) return "; it is a GGUF file";
  if (text.startsWith("\x89HDF")) return "; it is an HDF5 file";
  return "";
}
