/** How often a masked word piece is what the model guesses first, or among its first five guesses. */

import type { Plan } from "../../../bert/tasks/plan.ts";
import {
  encodeCut,
  type Pretrained,
  requireHead,
  sequenceOf,
  type TaskOptions,
} from "../../../bert/tasks/pretrained.ts";
import { InputError } from "../failure.ts";
import { openInput, textIn } from "../file_rows.ts";
import { type Evaluation, type EvaluationOptions, evaluation } from "./evaluation.ts";

/** About the 15% of BERT's training, but the same pieces in every run. */
const EVERY = 7;

const GUESSES = 5;

export async function evaluateMasks(options: EvaluationOptions): Promise<Evaluation> {
  const { column = "text" } = options;
  const table = await openInput(options, [column]);
  return evaluation(table, (pretrained, settings) => {
    let [rows, masked, first, among] = [0, 0, 0, 0];
    return {
      plan: planMaskedPieces(pretrained, settings),
      inputOf: (values) => textIn(values, column),
      add(_: string, ranks: readonly number[]) {
        rows++;
        masked += ranks.length;
        first += ranks.filter((rank) => rank === 0).length;
        among += ranks.filter((rank) => rank >= 0).length;
      },
      report() {
        if (masked === 0) throw new InputError("the texts have no word piece to mask");
        return {
          rows,
          figures: { "top 1": first / masked, [`top ${GUESSES}`]: among / masked, "masked pieces": masked },
        };
      },
    };
  });
}

/** @returns per masked piece its rank among the guesses, from 0; -1 where it is not among them */
function planMaskedPieces(pretrained: Pretrained, options: TaskOptions): Plan<string, readonly number[]> {
  requireHead(pretrained, "predictionLogits", "fill-mask", "a masked-LM head");
  const { model, tokenizer } = pretrained;
  const { mask } = tokenizer.special;
  if (mask === undefined) throw new RangeError(`${model.name}: the vocabulary has no mask token`);
  return {
    wanted: { predictionTopK: GUESSES },
    prepare(text, index) {
      const encoding = encodeCut(pretrained, text, undefined, options);
      const pieces = [...encoding.ids.keys()].filter((at) => encoding.specialTokensMask[at] === 0);
      const rows = pieces.filter((_, i) => (i + index) % EVERY === 0);
      const { inputIds, tokenTypeIds } = sequenceOf(encoding);
      const masked = Uint32Array.from(inputIds);
      for (const at of rows) masked[at] = mask;
      return {
        sequences: rows.length > 0 ? [{ inputIds: masked, tokenTypeIds }] : [],
        rows: rows.length > 0 ? [rows] : [],
        finish: ([output]) =>
          rows.map((at, row) =>
            output!.topIds!.subarray(row * GUESSES, (row + 1) * GUESSES).indexOf(encoding.ids[at]!),
          ),
      };
    },
  };
}
