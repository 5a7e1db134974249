/** fill-mask: what stands behind [MASK] (the `fill-mask` pipeline of transformers). */

import { requireList } from "../../files/options.ts";
import type { SequenceOutput } from "../outputs.ts";
import type { Encoding } from "../tokenizer/tokenizer.ts";
import type { Plan } from "./plan.ts";
import {
  defaultStride,
  encodeCut,
  encodeWindows,
  type OwnNames,
  type Pretrained,
  requireCount,
  requireHead,
  requireOptions,
  sequenceOf,
  type TaskOptions,
} from "./pretrained.ts";
import { runTask } from "./stream.ts";
import { argmax } from "./text_classification.ts";

/** One candidate; the names are those of transformers' pipelines. */
export interface MaskFill {
  /** Probability, 0 to 1. */
  readonly score: number;
  readonly token: number;
  readonly token_str: string;
  /** The text with this candidate in place; with several masks the others stay, and special tokens too. */
  readonly sequence: string;
}

export interface FillMaskOptions extends TaskOptions {
  /** Candidates per mask; default 5. */
  readonly topK?: number | undefined;
  /** Score only these words. One that is no word piece stands for its first piece, and `onWarning` is told. */
  readonly targets?: readonly string[] | undefined;
  /**
   * Cut a text that is too long, with a warning, as transformers' tokenizers do. Default false: every mask is predicted
   * from the window that holds most around it.
   */
  readonly truncation?: boolean | undefined;
}

export const FILL_MASK: OwnNames<FillMaskOptions> = { topK: 1, targets: 1, truncation: 1 };

/**
 * @returns per text, per mask, the candidates, best first
 * @throws RangeError for a text without a mask, or for topK below 1
 */
export function fillMask(
  pretrained: Pretrained,
  texts: readonly string[],
  options: FillMaskOptions = {},
): Promise<MaskFill[][][]> {
  return runTask(planFillMask, pretrained, texts, options);
}

export function planFillMask(pretrained: Pretrained, options: FillMaskOptions = {}): Plan<string, MaskFill[][]> {
  requireOptions("fill-mask", options, FILL_MASK);
  const { model, tokenizer } = pretrained;
  const topK = requireCount("topK", options.topK ?? 5);
  requireHead(pretrained, "predictionLogits", "fill-mask", "a masked-LM head");
  const { mask } = tokenizer.special;
  if (mask === undefined) throw new RangeError(`${model.name}: the vocabulary has no mask token`);
  const targets = options.targets && targetIds(pretrained, options.targets, options);
  const k = Math.min(topK, targets?.length ?? model.config.vocabSize);
  return {
    wanted: targets ? { predictionProbabilities: true } : { predictionTopK: k },
    prepare(text, index) {
      const { whole, masks, chosen } = encodeMasked(pretrained, text, mask, options);
      if (masks.length === 0) {
        const name = tokenizer.idToToken(mask);
        throw new RangeError(`text ${index + 1} has no ${name}: ${JSON.stringify(text.slice(0, 60))}`);
      }
      return {
        sequences: chosen.map(({ window }) => sequenceOf(window)),
        rows: chosen.map(({ rows }) => rows),
        finish(outputs) {
          const candidates = outputs.flatMap((output, w) =>
            chosen[w]!.rows.map((_, row) =>
              targets ? rankTargets(output, row, model.config.vocabSize, targets, k) : candidatesOf(output, row, k),
            ),
          );
          return masks.map((at, i) =>
            candidates[i]!.map(({ token, score }) => ({
              score,
              token,
              token_str: tokenizer.decode([token]),
              sequence: withToken(pretrained, whole, at, token, masks.length > 1),
            })),
          );
        },
      };
    },
  };
}

/** The masks that are predicted from one window. */
interface Chosen {
  readonly window: Encoding;
  /** Tokens of the window. */
  readonly rows: readonly number[];
}

/** The whole text, its masks, and the windows they are predicted from; each mask is in one. */
function encodeMasked(
  pretrained: Pretrained,
  text: string,
  mask: number,
  { truncation, onWarning }: FillMaskOptions,
): { whole: Encoding; masks: readonly number[]; chosen: readonly Chosen[] } {
  const masksOf = ({ ids }: Encoding): number[] => [...ids.keys()].filter((at) => ids[at] === mask);
  const stride = defaultStride(pretrained);
  const windows = truncation
    ? [encodeCut(pretrained, text, undefined, { onWarning })]
    : encodeWindows(pretrained, text, stride);
  const [first] = windows;
  if (windows.length === 1) {
    const masks = masksOf(first!);
    return { whole: first!, masks, chosen: [{ window: first!, rows: masks }] };
  }
  const whole = pretrained.tokenizer.encode(text);
  const masks = masksOf(whole);
  const step = first!.specialTokensMask.filter((special) => special === 0).length - stride;
  const rows: number[][] = windows.map(() => []);
  for (const at of masks) {
    // the window in which fewest tokens are missing on its poorer side
    const room = windows.map(({ ids }, w) => Math.min(at - w * step, ids.length - 1 - (at - w * step)));
    const best = argmax(room);
    rows[best]!.push(at - best * step);
  }
  const chosen = windows.map((window, w) => ({ window, rows: rows[w]! })).filter(({ rows }) => rows.length > 0);
  return { whole, masks, chosen };
}

interface Candidate {
  readonly token: number;
  readonly score: number;
}

function candidatesOf({ topIds, topProbabilities }: SequenceOutput, row: number, k: number): Candidate[] {
  return Array.from({ length: k }, (_, i) => ({
    token: topIds![row * k + i]!,
    score: topProbabilities![row * k + i]!,
  }));
}

function rankTargets(
  { predictionProbabilities }: SequenceOutput,
  row: number,
  vocab: number,
  targets: readonly number[],
  k: number,
): Candidate[] {
  return targets
    .map((token) => ({ token, score: predictionProbabilities![row * vocab + token]! }))
    .sort((a, b) => b.score - a.score)
    .slice(0, k);
}

/** Token ids of the target words, without repeats. */
function targetIds({ tokenizer }: Pretrained, targets: readonly string[], { onWarning }: TaskOptions): number[] {
  requireList("targets", targets);
  if (targets.length === 0) throw new RangeError("targets is empty; leave it out to consider every token");
  const ids = targets.map((target) => {
    const known = tokenizer.tokenToId(target);
    if (known !== undefined) return known;
    const first = tokenizer.encode(target, undefined, { addSpecialTokens: false }).ids[0];
    if (first === undefined) throw new RangeError(`target ${JSON.stringify(target)} has no word piece`);
    onWarning?.(
      `target ${JSON.stringify(target)} is not in the vocabulary, ${tokenizer.idToToken(first)} stands for it`,
    );
    return first;
  });
  return [...new Set(ids)];
}

/** One mask: the plain text. Several: special tokens stay, as in transformers, since the other masks are among them. */
function withToken(
  { tokenizer }: Pretrained,
  { ids }: Encoding,
  at: number,
  token: number,
  keepSpecial: boolean,
): string {
  const filled = Array.from(ids);
  filled[at] = token;
  return tokenizer.decode(filled, { skipSpecialTokens: !keepSpecial });
}
