/** Faults of files: collected, bounded, thrown together, so that a checkpoint is mended in one go. */

/** Everything that is wrong with a safetensors file, or with a folder of them. */
export class SafetensorsError extends Error {
  override readonly name = "SafetensorsError";
  readonly faults: readonly string[];

  /** `file`: its name, or the folder's. */
  constructor(file: string, faults: readonly string[]) {
    super(faults.length === 1 ? `${file}: ${faults[0]}` : `${file}: ${faults.length} faults\n- ${faults.join("\n- ")}`);
    this.faults = faults;
  }
}

export type Report = (fault: string) => void;

/** A file made to be hostile could have millions; nobody reads past these. */
const MOST = 100;

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

/** A name out of an untrusted file, for a message: escaped and cut. */
export function quote(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}...` : name);
}
