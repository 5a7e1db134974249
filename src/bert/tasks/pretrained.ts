/** A model and its tokenizer, and the batches in which tasks send texts through them. */

import type { Folder } from "../../runtime/bytes.ts";
import type { Engine } from "../../runtime/engine.ts";
import type { Sequence } from "../batch.ts";
import { ModelError } from "../config.ts";
import { BertModel, type LoadOptions } from "../model.ts";
import type { Encoding } from "../tokenizer/encoding.ts";
import { loadTokenizer } from "../tokenizer/load.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

export interface Pretrained {
  readonly model: BertModel;
  readonly tokenizer: Tokenizer;
}

/** One text, or a pair such as a question and a passage. */
export type TextInput = string | { readonly text: string; readonly pair: string };

/** What every task takes. */
export interface TaskOptions {
  /** Tokens of all sequences in one pass through the model; a longer single text still goes alone. Default 8192. */
  readonly tokenBudget?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told of every text cut to the model's length, with both lengths. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** Loads a model folder in Hugging Face layout. @throws ModelError or SafetensorsError with every fault, or what `loadTokenizer` throws */
export async function loadPretrained(
  engine: Engine,
  folder: Folder,
  options: Partial<LoadOptions> = {},
): Promise<Pretrained> {
  const tokenizer = await loadTokenizer(folder);
  const model = await BertModel.load(engine, folder, options);
  if (tokenizer.vocabSize > model.config.vocabSize) {
    model.dispose();
    throw new ModelError(folder.name, [
      `the tokenizer has ${tokenizer.vocabSize} tokens, the model's vocab_size is ${model.config.vocabSize}`,
    ]);
  }
  return { model, tokenizer };
}

/** The longest sequence that model and tokenizer both take, in tokens. */
export function maxLength({ model, tokenizer }: Pretrained): number {
  return Math.min(model.config.maxPositionEmbeddings, tokenizer.modelMaxLength ?? Number.POSITIVE_INFINITY);
}

/** Encodes with special tokens; what exceeds the model's length is cut, and `onWarning` told. */
export function encodeInputs(pretrained: Pretrained, inputs: readonly TextInput[], options: TaskOptions): Encoding[] {
  const most = maxLength(pretrained);
  return inputs.map((input) => {
    const [text, pair] = typeof input === "string" ? [input, undefined] : [input.text, input.pair];
    const whole = pretrained.tokenizer.encode(text, pair);
    if (whole.ids.length <= most) return whole;
    const begins = JSON.stringify(text.slice(0, 40));
    options.onWarning?.(`${begins} has ${whole.ids.length} tokens, the model takes ${most}: the rest is left out`);
    return pretrained.tokenizer.encode(text, pair, { truncation: "longest_first", maxLength: most });
  });
}

export function sequenceOf({ ids, typeIds }: Encoding): Sequence {
  return { inputIds: ids, tokenTypeIds: typeIds };
}

/** Consecutive ranges whose tokens fit the budget, at least one sequence each. */
export function batchesOf(lengths: readonly number[], budget: number = 8192): { begin: number; end: number }[] {
  const batches: { begin: number; end: number }[] = [];
  let begin = 0;
  let tokens = 0;
  lengths.forEach((length, i) => {
    if (i > begin && tokens + length > budget) {
      batches.push({ begin, end: i });
      begin = i;
      tokens = 0;
    }
    tokens += length;
  });
  if (begin < lengths.length) batches.push({ begin, end: lengths.length });
  return batches;
}
