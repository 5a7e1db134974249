/** A model and its tokenizer, and how texts become the sequences that it takes. */

import { type Folder, readText } from "../../files/bytes.ts";
import { quote } from "../../files/faults.ts";
import { type Names, requireKnown } from "../../files/options.ts";
import type { Engine } from "../../runtime/engine.ts";
import type { Sequence } from "../batch.ts";
import { type BertConfig, ModelError } from "../config.ts";
import { BertModel, type LoadOptions } from "../model.ts";
import type { Wanted } from "../outputs.ts";
import { loadTokenizer } from "../tokenizer/load.ts";
import type { TokenizerInput } from "../tokenizer/sequencer.ts";
import type { Encoding, Tokenizer } from "../tokenizer/tokenizer.ts";
import type { TruncationStrategy } from "../tokenizer/truncation.ts";
import { type FoundModules, findSentenceModules, folderAt, MODULES } from "./sentence_modules.ts";
import { loadSettings, type Settings } from "./settings.ts";
import { STREAM_OPTIONS, type StreamOptions } from "./stream.ts";

export interface Pretrained extends FoundModules {
  readonly model: BertModel;
  readonly tokenizer: Tokenizer;
  /** Files that only some tasks need. */
  readonly settings?: Settings | undefined;
}

/** One text, or a pair such as a question and a passage. */
export type TextInput = string | { readonly text: string; readonly pair: string };

/** @throws TypeError for what is neither: it would pass for another text, or lose its pair */
export function textsOf(input: TextInput): readonly [text: string, pair: string | undefined] {
  if (typeof input === "string") return [input, undefined];
  const { text, pair, ...others } = { ...(input as Partial<Exclude<TextInput, string>>) };
  if (typeof text === "string" && ["string", "undefined"].includes(typeof pair) && Object.keys(others).length === 0) {
    return [text, pair];
  }
  throw new TypeError(`an input is ${quote(input)}; give a text, or { text, pair }`);
}

/** What every task takes. */
export interface TaskOptions extends StreamOptions {
  /**
   * Told of every text cut to the model's length, with both lengths (of a very long one, what it has more than), and of
   * what else is odd about an input.
   */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** Names of a task's own options. */
export type OwnNames<Options, Common = TaskOptions> = Names<Omit<Options, keyof Common>>;

export const TASK_OPTIONS: Names<TaskOptions> = /* @__PURE__ */ Object.assign({}, STREAM_OPTIONS, {
  onWarning: 1,
} as const);

/**
 * Loads a model folder in Hugging Face layout.
 * @throws ModelError or CheckpointError with every fault, what `loadTokenizer` throws, or as `BertModel.load`; TypeError for
 * a text, which `modelFolder` makes a folder of (that of `bert-webgpu/node` takes texts)
 */
export async function loadPretrained(engine: Engine, folder: Folder, options: LoadOptions = {}): Promise<Pretrained> {
  if (typeof folder === "string") throw new TypeError(`folder is a string; give modelFolder("${folder}")`);
  const modules = (await readText(folder, MODULES)) ?? "";
  const found = await findSentenceModules(folder, modules, options.onWarning);
  const own = folderAt(folder, found.sentence?.path ?? "");
  const tokenizer = await loadTokenizer(own);
  const model = await BertModel.load(engine, own, options);
  try {
    if (tokenizer.vocabSize > model.config.vocabSize) {
      throw new ModelError(folder.name, [
        `the tokenizer has ${tokenizer.vocabSize} tokens, the model's vocab_size is ${model.config.vocabSize}`,
      ]);
    }
    return { model, tokenizer, ...found, settings: await loadSettings(folder, model, modules) };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/** The longest sequence that model and tokenizer both take, in tokens. */
export function maxLength({ model, tokenizer }: Pretrained): number {
  return Math.min(model.config.maxPositionEmbeddings, tokenizer.modelMaxLength ?? Number.POSITIVE_INFINITY);
}

export interface CutOptions extends Pick<TaskOptions, "onWarning"> {
  /** What gives way; default "longest_first". */
  readonly truncation?: TruncationStrategy | undefined;
  /** Tokens; default: what the model takes. */
  readonly most?: number | undefined;
}

/**
 * Encodes with special tokens; what exceeds the model's length is cut, and `onWarning` told. Of a long text no more is
 * read than that takes.
 * @throws RangeError when cutting the text that gives way is not enough
 */
export function encodeCut(
  pretrained: Pretrained,
  text: TokenizerInput,
  pair?: string,
  options: CutOptions = {},
): Encoding {
  const { most = maxLength(pretrained), truncation = "longest_first", onWarning } = options;
  const onCut = (tokens: number, exact: boolean): void => {
    const begins = JSON.stringify((typeof text === "string" ? text : text.slice(0, 41).join(" ")).slice(0, 40));
    const has = `${exact ? "" : "more than "}${tokens} tokens`;
    onWarning?.(`${begins} has ${has}, the model takes ${most}: the rest is left out`);
  };
  return pretrained.tokenizer.encode(text, pair, { truncation, maxLength: most, onCut: onWarning && onCut });
}

/**
 * All of a text, in as many windows as it needs.
 * @param stride tokens that a window shares with the one before
 */
export function encodeWindows(pretrained: Pretrained, text: TokenizerInput, stride: number): Encoding[] {
  const first = pretrained.tokenizer.encode(text, undefined, {
    truncation: "longest_first",
    maxLength: maxLength(pretrained),
    stride,
    returnOverflow: true,
  });
  return [first, ...first.overflow];
}

/** The overlap of windows where none is asked for: 128 tokens, of a short model half of what it takes. */
export function defaultStride(pretrained: Pretrained): number {
  return Math.max(0, Math.min(128, Math.floor((maxLength(pretrained) - 2) / 2)));
}

export function sequenceOf({ ids, typeIds }: Encoding): Sequence {
  return { inputIds: ids, tokenTypeIds: typeIds };
}

/** @throws TypeError for options that neither the task `name` has nor every task */
export function requireOptions<Options extends TaskOptions>(
  name: string,
  options: Options,
  own: OwnNames<NoInfer<Options>>,
): void {
  requireKnown<object>(name, options, { ...own, ...TASK_OPTIONS });
}

/** @throws ModelError when the model lacks the head that `task` needs */
export function requireHead({ model }: Pretrained, output: keyof Wanted, task: string, head: string): void {
  if (model.has(output)) return;
  const flaws = model.flaws(output);
  throw new ModelError(model.name, [
    `${task} needs ${head}, the checkpoint has none${flaws.length > 0 ? " that can be used" : ""}`,
    ...flaws,
  ]);
}

/** @throws ModelError when that part of config.json cannot be used */
export function requireSound({ model }: Pretrained, part: keyof NonNullable<BertConfig["flaws"]>): void {
  const flaw = model.config.flaws?.[part];
  if (flaw) throw new ModelError(model.name, [flaw]);
}

/** @throws ModelError when the model's classifier is not of that kind */
export function requireClassifier(
  { model }: Pretrained,
  kind: NonNullable<BertModel["classifierKind"]>,
  task: string,
): void {
  if (model.has("logits") && model.classifierKind === kind) return;
  const found = model.classifierKind ? `its classifier is of ${model.classifierKind}s` : "it has no classifier";
  throw new ModelError(model.name, [`${task} needs a classifier of ${kind}s; ${found}`, ...model.flaws("logits")]);
}

/** @throws RangeError unless it is an integer from 1 */
export function requireCount(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw new RangeError(`${name} is ${value}, it must be an integer from 1`);
}
