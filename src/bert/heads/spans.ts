/** Where an answer starts and ends (BertForQuestionAnswering). */

import { type LinearWeights, linear } from "../../runtime/ops.ts";
import { linear as storedLinear } from "../stored.ts";
import type { Head, Values } from "./head.ts";

export interface SpansWanted {
  /** Question answering: start and end logits, each [tokens]. */
  readonly spanLogits?: boolean | undefined;
}

export interface Spans {
  /** [tokens] */
  readonly startLogits?: Float32Array;
  /** [tokens] */
  readonly endLogits?: Float32Array;
}

export const spans: Head<SpansWanted, LinearWeights, Spans, Spans> = {
  title: "question answering",
  outputs: { spanLogits: "token" },
  found: (shapes) => shapes.has("qa_outputs.weight"),
  weights: (stored, { hiddenSize }) => storedLinear(stored, [2, hiddenSize], "qa_outputs"),
  record: (r, _, { hidden, weights }) => ({ spanLogits: linear(r, hidden, weights) }), // [tokens, 2]
  give(raw) {
    const { data } = raw.spanLogits as Values;
    return { startLogits: data.filter((_, i) => i % 2 === 0), endLogits: data.filter((_, i) => i % 2 === 1) };
  },
  split: ({ startLogits, endLogits }, sequence) => ({
    startLogits: sequence.cut(startLogits!, 1, "token"),
    endLogits: sequence.cut(endLogits!, 1, "token"),
  }),
};
