/** How a run of training gets on: a line on stderr that is rewritten, with a small curve of its losses. */

import type { TrainerEvent } from "../../../train/index.ts";
import { durationText, rateText } from "../progress_bar.ts";

export interface TrainingProgress {
  step(event: TrainerEvent & { readonly kind: "step" }): void;
  /** Takes the line away; the next step brings it back. */
  clear(): void;
}

const BARS = "▁▂▃▄▅▆▇█";
/** Losses that are drawn. */
const WIDTH = 20;

/** @param begun steps of an earlier run, which do not count for the time that is left */
export function trainingProgress(
  begun: number,
  totalSteps: number,
  stream: Pick<NodeJS.WriteStream, "isTTY" | "write"> = process.stderr,
  now: () => number = () => performance.now(),
): TrainingProgress {
  if (!stream.isTTY) return { step() {}, clear() {} };
  const start = now();
  const losses: number[] = [];
  return {
    step({ step, loss, learningRate, tokensPerSecond }) {
      losses.push(loss);
      const each = (now() - start) / 1000 / (step - begun);
      const parts = [
        `step ${step}/${totalSteps}`,
        `loss ${loss.toFixed(4)} ${curve(losses)}`,
        `lr ${learningRate.toExponential(2)}`,
        `${rateText(tokensPerSecond)} tokens/s`,
        `ETA ${durationText(each * (totalSteps - step))}`,
      ];
      stream.write(`\r${parts.join("  ")}\u001b[K`);
    },
    clear() {
      if (losses.length > 0) stream.write("\r\u001b[K");
    },
  };
}

/** The last of them, or means of neighbours where there are more than fit. */
export function curve(values: readonly number[], width: number = WIDTH): string {
  const size = Math.max(1, Math.ceil(values.length / width));
  const means: number[] = [];
  for (let at = 0; at < values.length; at += size) {
    const some = values.slice(at, at + size);
    means.push(some.reduce((sum, value) => sum + value, 0) / some.length);
  }
  const low = Math.min(...means);
  const span = Math.max(...means) - low;
  return means.map((mean) => BARS[span > 0 ? Math.round(((mean - low) / span) * (BARS.length - 1)) : 0]).join("");
}
