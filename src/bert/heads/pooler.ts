/** tanh(W x + b) of each first token (`pooler_output`), by itself and below other heads. */

import { type LinearWeights, linear, pool } from "../../runtime/ops.ts";
import type { Recorder, Ref } from "../../runtime/recorder.ts";
import type { BertConfig } from "../config.ts";
import { type Stored, linear as storedLinear } from "../stored.ts";
import type { Head, HeadContext } from "./head.ts";

export interface PoolerWanted {
  /** [sequences, hidden] */
  readonly poolerOutput?: boolean | undefined;
}

export const pooler: Head<PoolerWanted, LinearWeights> = {
  title: "pooler",
  outputs: { poolerOutput: "sequence" },
  found: (shapes) => shapes.has("pooler.dense.weight"),
  weights: poolerWeights,
  record: (r, _, context) => ({ poolerOutput: pooled(r, context, context.weights) }),
};

export function poolerWeights(stored: Stored, { hiddenSize: h }: BertConfig): LinearWeights {
  return storedLinear(stored, [h, h], "pooler.dense");
}

/** [sequences, hidden] */
export function pooled(r: Recorder, context: HeadContext<unknown>, weights: LinearWeights): Ref {
  const record = (): Ref => linear(r, pool(r, context.hidden, context, "cls"), weights, { activation: "tanh" });
  return context.once("pooled", record);
}
