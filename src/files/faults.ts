/** Faults of files: collected, bounded, thrown together, so that a checkpoint is mended in one go. */

/** A file made to be hostile could have millions; nobody reads past these. */
const MOST = 100;

/** The first hundred, and how many more there are; a list that says so already stays as it is. */
export function bounded(faults: readonly string[]): readonly string[] {
  return faults.length > MOST + 1 ? [...faults.slice(0, MOST), `and ${faults.length - MOST} more`] : faults;
}

/** Everything that is wrong with a model's weights: with a file, or with a folder of them. */
export class CheckpointError extends Error {
  override readonly name: string = "CheckpointError";
  readonly faults: readonly string[];

  /** `file`: its name, or the folder's. */
  constructor(file: string, faults: readonly string[]) {
    const told = bounded(faults);
    super(faults.length === 1 ? `${file}: ${faults[0]}` : `${file}: ${faults.length} faults\n- ${told.join("\n- ")}`);
    this.faults = told;
  }
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

/** Collects faults, and counts those that no message should hold. */
export function faultList(): { readonly count: number; readonly add: Report; list(): string[] } {
  const faults: string[] = [];
  let count = 0;
  return {
    get count() {
      return count;
    },
    add(fault) {
      if (count++ < MOST) faults.push(fault);
    },
    list: () => (count > MOST ? [...faults, `and ${count - MOST} more`] : faults),
  };
}

/** What an untrusted file has, for a message: escaped and cut. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}

/** What people have instead of the weights, told by its first bytes, with the remedy. */
export function looksLike(bytes: Uint8Array): string {
  const text = String.fromCharCode(...bytes);
  if (text.startsWith("version ")) return "; it is a Git LFS pointer, not the file itself: run `git lfs pull`";
  if (text.startsWith("PK\x03\x04") || text.startsWith("\x80\x02"))
    return "; it is a file of torch.save, not safetensors";
  if (/^<(!doc|html)/i.test(text)) return "; it is a web page: the download went wrong";
  if (text.startsWith("GGUF")) return "; it is a GGUF file";
  if (text.startsWith("\x89HDF")) return "; it is an HDF5 file, as Keras writes";
  return "";
}
