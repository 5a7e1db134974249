/** How texts go through the modules of sentence-transformers: what the model computes for them, and what becomes of it. */

import type { Sequence } from "../batch.ts";
import type { SequenceOutput, Wanted } from "../outputs.ts";
import { type Pooling, poolTokens } from "./pooling.ts";
import { encodeCut, type Pretrained, sequenceOf, type TaskOptions, type TextInput, textsOf } from "./pretrained.ts";
import type { SentenceModule, Vector } from "./sentence_modules.ts";

export interface PromptOptions {
  /** Put before every text, of a pair before the first. */
  readonly prompt?: string | undefined;
  /** One of the folder's prompts. Default: the folder's default prompt, if it has one. */
  readonly promptName?: string | undefined;
}

export interface Chain {
  readonly wanted: Omit<Wanted, "predictionRows">;
  /** Dimensions of what it gives. */
  readonly size: number;
  encode(input: TextInput): Sequence;
  run(output: SequenceOutput): Vector;
}

/** What the GPU computes for a pooling; `mean_sqrt_len` is a multiple of the mean. */
const GPU_POOLINGS: Readonly<Partial<Record<Pooling, "cls" | "max" | "mean">>> = {
  cls: "cls",
  max: "max",
  mean: "mean",
  mean_sqrt_len: "mean",
};

/**
 * A single pooling by the GPU comes back as one vector; the other poolings, several at once, modules before them, and
 * prompts that are not pooled read all tokens back.
 * @param gives the feature that is asked for; of `scores` that no module makes, the classifier's logits are the first
 * @throws RangeError for an unknown prompt, and for a module that takes vectors of another size
 */
export function chainOf(
  pretrained: Pretrained,
  modules: readonly SentenceModule[],
  gives: "sentence_embedding" | "scores",
  options: PromptOptions & Pick<TaskOptions, "onWarning">,
): Chain {
  const { model, sentence, tokenizer } = pretrained;
  const { hiddenSize, labels, maxPositionEmbeddings } = model.config;
  const prompt = promptOf(pretrained, options);
  const [first] = modules;
  const pooling = modules.find((module) => "poolings" in module);
  // as sentence-transformers counts: [CLS] and the prompt, without [SEP]
  const skipped = prompt !== "" && pooling?.includePrompt === false ? tokenizer.encode(prompt).ids.length - 1 : 0;
  const most = Math.min(sentence?.maxSeqLength ?? tokenizer.modelMaxLength ?? Infinity, maxPositionEmbeddings);
  const special = Object.values(tokenizer.special).map((id) => tokenizer.idToToken(id)!.replace(/\W/g, "\\$&"));
  const parts = new RegExp(`(${special.join("|")})`);
  const lower = (part: string, i: number): string => (i % 2 ? part : part.toLowerCase());
  const spelt = (text: string): string => (sentence?.lowercase ? text.split(parts).map(lower).join("") : text);
  const onGpu =
    skipped === 0 &&
    first === pooling &&
    first?.poolings.length === 1 &&
    modules.every((module) => module === first || module.input !== first.input)
      ? GPU_POOLINGS[first.poolings[0]!]
      : undefined;
  const classifies = !modules.some(({ input }) => input === "token_embeddings");

  const follow = (features: Map<string, readonly Vector[]>): Vector => {
    for (const module of modules) {
      const rows = features.get(module.input);
      if (!rows) continue; // pooled by the GPU
      const from = Math.min(skipped, rows.length - 1);
      const made =
        "apply" in module
          ? rows.map(module.apply)
          : [together(module.poolings.map((kind) => poolTokens(rows, kind, from)))];
      features.set(module.output, made);
    }
    return features.get(gives)![0]!;
  };
  const start = (name: string, rows: readonly Vector[]): Vector => follow(new Map([[name, rows]]));
  const begins = classifies ? "scores" : "token_embeddings";
  return {
    wanted: classifies
      ? { logits: true }
      : onGpu
        ? { embedding: { pooling: onGpu, normalize: false } }
        : { lastHiddenState: true },
    size: start(begins, [new Float64Array(classifies ? labels.length : hiddenSize)]).length,
    encode(input) {
      const [text, pair] = textsOf(input);
      const second = pair === undefined ? pair : spelt(pair);
      return sequenceOf(encodeCut(pretrained, spelt(prompt + text), second, { most, onWarning: options.onWarning }));
    },
    run({ embedding, lastHiddenState, logits, length }) {
      if (logits) return start(begins, [logits]);
      if (lastHiddenState) {
        const row = (_: unknown, i: number) => lastHiddenState.subarray(i * hiddenSize, (i + 1) * hiddenSize);
        return start(begins, Array.from({ length }, row));
      }
      const scale = pooling?.poolings[0] === "mean_sqrt_len" ? Math.sqrt(length) : 1;
      return start("sentence_embedding", [Float64Array.from(embedding!, (x) => x * scale)]);
    },
  };
}

/**
 * What the folder says is left out where it is of the other kind: vectors of a cross-encoder, scores of what gives vectors.
 * @throws ModelError or CheckpointError where it cannot be followed
 */
export function taken(pretrained: Pretrained, crossEncoder: boolean): Pretrained {
  if (pretrained.sentenceFault) throw pretrained.sentenceFault;
  return pretrained.sentence?.crossEncoder === !crossEncoder ? { ...pretrained, sentence: undefined } : pretrained;
}

function together(parts: readonly Float64Array[]): Float64Array {
  return parts.length === 1 ? parts[0]! : Float64Array.from(parts.flatMap((part) => [...part]));
}

function promptOf({ sentence }: Pretrained, { prompt, promptName }: PromptOptions): string {
  if (prompt !== undefined) return prompt;
  const name = promptName ?? sentence?.defaultPrompt;
  if (name === undefined) return "";
  const known = sentence?.prompts ?? {};
  if (Object.hasOwn(known, name)) return known[name]!;
  const names = Object.keys(known).join(", ") || "none";
  throw new RangeError(`the model has no prompt named ${JSON.stringify(name)}; there are: ${names}`);
}
