/** What training takes of the GPU's memory, before a step is taken. */

import type { FlatWeights } from "./flat.ts";
import type { Example, TrainingSteps } from "./step.ts";

export interface MemoryPart {
  readonly what:
    | "weights"
    | "frozen weights"
    | "gradients"
    | "moments"
    | "weights in f16"
    | "optimizer"
    | "kept vectors"
    | "a step";
  readonly bytes: number;
}

/** @param largest batches of which a step takes the most */
export async function memoryOf(
  { parts, frozenBytes }: FlatWeights,
  steps: TrainingSteps,
  largest: readonly (readonly Example[])[],
): Promise<MemoryPart[]> {
  const sum = (of: (part: FlatWeights["parts"][number]) => number): number =>
    parts.reduce((bytes, part) => bytes + of(part), 0);
  const copies = sum((part) => part.copies?.bytes ?? 0);
  const step = await steps.runBytes(largest);
  const { cacheBytes } = steps;
  return [
    { what: "weights", bytes: sum(({ weights }) => weights.bytes) },
    ...(frozenBytes > 0 ? [{ what: "frozen weights", bytes: frozenBytes } as const] : []),
    { what: "gradients", bytes: sum(({ gradients }) => gradients.bytes) },
    { what: "moments", bytes: sum(({ m, v }) => m.bytes + v.bytes) },
    ...(copies > 0 ? [{ what: "weights in f16", bytes: copies } as const] : []),
    { what: "optimizer", bytes: steps.bytes },
    ...(cacheBytes > 0 ? [{ what: "kept vectors", bytes: cacheBytes } as const] : []),
    { what: "a step", bytes: step },
  ];
}

/** @throws RangeError for more than `limit` bytes, with both numbers */
export function requireMemory(memory: readonly MemoryPart[], limit: number): void {
  const bytes = memory.reduce((sum, part) => sum + part.bytes, 0);
  if (bytes <= limit) return;
  const each = memory.map(({ what, bytes }) => `${what} ${bytes}`).join(", ");
  throw new RangeError(
    `training takes ${bytes} bytes (${each}), memoryLimit is ${limit}; use smaller batches with gradientAccumulation, or recompute`,
  );
}
