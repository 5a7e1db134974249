/** The values of a checkpoint's weights that are no finite numbers. */

import type { Checkpoint } from "../../files/checkpoint.ts";
import { isConvertible, OverflowError } from "../../files/dtype.ts";
import { quote } from "../../files/faults.ts";

export interface BadValues {
  /** NaN, and what is beyond f32, in tensors that every answer is made of. */
  readonly faults: readonly string[];
  /** The others: NaN in parts that some tasks do not use, and infinities, which may be meant, as biases are. */
  readonly warnings: readonly string[];
}

/**
 * Reads all of it.
 * @param always the tensors, by their names in the file, that every answer is made of
 * @param onShare told how much is read, 0 to 1
 */
export async function findBadValues(
  checkpoint: Checkpoint,
  {
    always = new Set(),
    onShare,
  }: { readonly always?: ReadonlySet<string> | undefined; readonly onShare: (share: number) => void },
): Promise<BadValues> {
  const elements = [...checkpoint.tensors.values()].map(({ shape }) => shape.reduce((size, n) => size * n, 1));
  const total = elements.reduce((sum, size) => sum + size, 0);
  let done = 0;
  const faults: string[] = [];
  const warnings: string[] = [];
  for (const { name, dtype } of checkpoint.tensors.values()) {
    if (!isConvertible(dtype)) continue;
    const report = (fault: string): unknown => (always.has(name) ? faults : warnings).push(fault);
    const seen = new Map<string, { first: number; count: number }>();
    let begin = 0;
    try {
      for await (const chunk of checkpoint.chunks(name, "f32")) {
        for (let i = 0; i < chunk.length; i++) {
          if (Number.isFinite(chunk[i])) continue;
          const kind = Number.isNaN(chunk[i]) ? "NaN" : "infinite";
          const known = seen.get(kind);
          if (known) known.count++;
          else seen.set(kind, { first: begin + i, count: 1 });
        }
        begin += chunk.length;
        done += chunk.length;
        onShare(done / total);
      }
    } catch (error) {
      if (!(error instanceof OverflowError)) throw error;
      report(error.message);
    }
    for (const [kind, { first, count }] of seen) {
      const fault = `tensor ${quote(name)}: ${count} ${count === 1 ? "value is" : "values are"} ${kind}, the first at element ${first}`;
      if (kind === "NaN") report(fault);
      else warnings.push(fault);
    }
  }
  return { faults, warnings };
}
