/** fill-mask: what stands behind [MASK] (the `fill-mask` pipeline of transformers). */

import type { Encoding } from "../tokenizer/encoding.ts";
import { batchesOf, encodeInputs, type Pretrained, sequenceOf, type TaskOptions } from "./pretrained.ts";

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
}

/**
 * @returns per text, per mask, the candidates, best first
 * @throws RangeError for a text without a mask, or for topK below 1
 */
export async function fillMask(
  pretrained: Pretrained,
  texts: readonly string[],
  options: FillMaskOptions = {},
): Promise<MaskFill[][][]> {
  const { model, tokenizer } = pretrained;
  const topK = options.topK ?? 5;
  if (!Number.isInteger(topK) || topK < 1) throw new RangeError(`topK is ${topK}, it must be an integer from 1`);
  const targets = options.targets && targetIds(pretrained, options.targets, options);
  const encodings = encodeInputs(pretrained, texts, options);
  const { mask } = tokenizer.special;
  if (mask === undefined) throw new RangeError(`${model.name}: the vocabulary has no mask token`);
  const masks = encodings.map(({ ids }, i) => {
    const positions = [...ids.keys()].filter((at) => ids[at] === mask);
    if (positions.length === 0) {
      throw new RangeError(
        `text ${i + 1} has no ${tokenizer.idToToken(mask)}: ${JSON.stringify(texts[i]!.slice(0, 60))}`,
      );
    }
    return positions;
  });
  const k = Math.min(topK, targets?.length ?? model.config.vocabSize);
  const results: MaskFill[][][] = [];
  for (const { begin, end } of batchesOf(
    encodings.map(({ ids }) => ids.length),
    options.tokenBudget,
  )) {
    const batch = encodings.slice(begin, end);
    const rows: number[] = [];
    let offset = 0;
    batch.forEach(({ ids }, i) => {
      rows.push(...masks[begin + i]!.map((at) => offset + at));
      offset += ids.length;
    });
    const wanted = targets ? { predictionProbabilities: true } : { predictionTopK: k };
    const forward = await model.forward(batch.map(sequenceOf), { ...wanted, predictionRows: rows }, options);
    let row = 0;
    batch.forEach((encoding, i) => {
      const positions = masks[begin + i]!;
      results.push(
        positions.map((at) => {
          const candidates = forward.predictionTopK
            ? candidatesOf(forward.predictionTopK, row)
            : rankTargets(forward.predictionProbabilities!.data, row * model.config.vocabSize, targets!, k);
          row++;
          return candidates.map(({ token, score }) => ({
            score,
            token,
            token_str: tokenizer.decode([token]),
            sequence: withToken(pretrained, encoding, at, token, positions.length > 1),
          }));
        }),
      );
    });
  }
  return results;
}

interface Candidate {
  readonly token: number;
  readonly score: number;
}

function candidatesOf(
  { k, probabilities, ids }: { readonly k: number; readonly probabilities: Float32Array; readonly ids: Uint32Array },
  row: number,
): Candidate[] {
  return Array.from({ length: k }, (_, i) => ({ token: ids[row * k + i]!, score: probabilities[row * k + i]! }));
}

function rankTargets(probabilities: Float32Array, offset: number, targets: readonly number[], k: number): Candidate[] {
  return targets
    .map((token) => ({ token, score: probabilities[offset + token]! }))
    .sort((a, b) => b.score - a.score)
    .slice(0, k);
}

/** Token ids of the target words, without repeats. */
function targetIds({ tokenizer }: Pretrained, targets: readonly string[], { onWarning }: TaskOptions): number[] {
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
