/** What the best evaluation took for what: kept beside the checkpoints, so that a run that is gone on with knows it. */

import type { Confusion } from "../../../bert/metrics/classification.ts";
import { type Folder, readText } from "../../../files/bytes.ts";
import { CheckpointError } from "../../../files/faults.ts";
import type { StoredFile } from "../../../train/index.ts";
import type { DiskStore } from "../../training/disk_store.ts";

const FILE = "confusion.json";

export interface KeptConfusion extends Confusion {
  /** Of the evaluation. */
  readonly step: number;
}

export interface ConfusionKeeper {
  /** Of the evaluation that is under way. */
  add(confusion: Confusion): void;
  /** That evaluation is over. */
  judged(step: number, best: boolean): void;
  /** Of the best evaluation, of the last where none was the best; undefined where there are no single labels. */
  readonly kept: KeptConfusion | undefined;
  /** The store, whose checkpoints have what is kept. */
  storing(store: DiskStore): DiskStore;
  /** Takes up what a checkpoint has. @throws CheckpointError where that is damaged */
  restore(folder: Folder): Promise<void>;
}

export function keepConfusion(): ConfusionKeeper {
  let last: Confusion | undefined;
  let kept: (KeptConfusion & { readonly best: boolean }) | undefined;
  return {
    add(confusion) {
      last = confusion;
    },
    judged(step, best) {
      if (last && (best || !kept?.best)) kept = { step, best, ...last };
    },
    get kept() {
      return kept;
    },
    storing: (store) => ({
      ...store,
      async write(name, files) {
        const all = async function* (): AsyncGenerator<StoredFile> {
          yield* files;
          if (kept) yield { path: FILE, bytes: [new TextEncoder().encode(`${JSON.stringify(kept)}\n`)] };
        };
        await store.write(name, all());
      },
    }),
    async restore(folder) {
      const text = await readText(folder, FILE);
      if (text === undefined) return;
      kept = read(text);
      if (!kept) throw new CheckpointError(`${folder.name}/${FILE}`, ["it is damaged"]);
    },
  };
}

function read(text: string): (KeptConfusion & { readonly best: boolean }) | undefined {
  const value = parsed(text) as Partial<KeptConfusion & { best: boolean }> | null | undefined;
  const { step, best, labels, counts } = value ?? {};
  const row = (list: unknown, holds: (item: unknown) => boolean): boolean =>
    Array.isArray(list) && list.length === labels!.length && list.every(holds);
  const fits =
    Number.isInteger(step) &&
    typeof best === "boolean" &&
    Array.isArray(labels) &&
    row(labels, (label) => typeof label === "string") &&
    row(counts, (own) => row(own, Number.isInteger));
  return fits ? { step: step!, best: best!, labels: labels!, counts: counts! } : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
