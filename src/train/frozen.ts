/** Which weights are left as they are, by the names of parts of a model. */

import type { Shape } from "../runtime/tensor.ts";

/** Whether a tensor is frozen, by its stored name or by a label that begins with it. */
export type Frozen = (label: string) => boolean;

export const NOTHING: Frozen = () => false;

const NAMES = "embeddings, layers:A-B or layers:N (from 0), encoder (embeddings and all layers), pooler";

/**
 * @param parts `embeddings`, `layers:0-3`, `layers:5`, `encoder`, `pooler`
 * @param shapes of all that would be trained
 * @throws RangeError for a part that there is not, or when nothing is left to be trained
 */
export function frozenBy(parts: readonly string[], shapes: ReadonlyMap<string, Shape>): Frozen {
  const names = [...shapes.keys()];
  const patterns = parts.map((part) => {
    const pattern = patternOf(part);
    if (!names.some((name) => pattern.test(name))) {
      throw new RangeError(`freeze: ${part} names no weights of this model; there are ${NAMES}`);
    }
    return pattern;
  });
  const frozen: Frozen = (label) => patterns.some((pattern) => pattern.test(label));
  if (names.every(frozen)) throw new RangeError(`freeze: ${parts.join(", ")} leaves nothing to be trained`);
  return frozen;
}

function patternOf(part: string): RegExp {
  if (part === "embeddings" || part === "pooler") return new RegExp(`^${part}\\.`);
  if (part === "encoder") return /^(embeddings|encoder)\./;
  const [, first, last = first] = /^layers:(\d+)(?:-(\d+))?$/.exec(part) ?? [];
  if (first === undefined || Number(last) < Number(first)) {
    throw new RangeError(`freeze: there is no ${JSON.stringify(part)}; there are ${NAMES}`);
  }
  const layers = Array.from({ length: Math.min(Number(last), 9999) - Number(first) + 1 }, (_, i) => Number(first) + i);
  return new RegExp(`^encoder\\.layer\\.(${layers.join("|")})\\.`);
}
