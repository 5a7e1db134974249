/** A small model with random weights, and batches for it: training without a checkpoint. */

import { type BertConfig, parseConfig } from "../../src/bert/config.ts";
import type { Checkpoint } from "../../src/files/checkpoint.ts";
import { numbersToFloat16 } from "../../src/files/float16.ts";
import type { Engine } from "../../src/runtime/engine.ts";
import type { Shape } from "../../src/runtime/tensor.ts";
import type { ChunkOptions } from "../../src/train/chunks.ts";
import type { Dropout } from "../../src/train/encoder.ts";
import type { FlatWeights, Partly } from "../../src/train/flat.ts";
import { initialWeights, shapesFor, uniforms } from "../../src/train/initial.ts";
import { OBJECTIVES, type ObjectiveName } from "../../src/train/objectives.ts";
import { readStored } from "../../src/train/read.ts";
import { type SentenceOptions, sentenceSettings } from "../../src/train/sentence_losses.ts";
import { type Example, TrainingSteps } from "../../src/train/step.ts";
import type { OptimizerOptions } from "../../src/train/update.ts";

export const CONFIG: BertConfig = parseConfig(
  JSON.stringify({
    ...{ model_type: "bert", vocab_size: 300, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2 },
    ...{ intermediate_size: 48, hidden_act: "gelu", max_position_embeddings: 24, type_vocab_size: 2, pad_token_id: 0 },
    ...{ id2label: { 0: "a", 1: "b", 2: "c" } },
  }),
);

export interface Small {
  readonly steps: TrainingSteps;
  readonly flat: FlatWeights;
  dispose(): void;
}

export async function smallTraining(
  engine: Engine,
  objectives: readonly ObjectiveName[],
  {
    dtype = "f32",
    dropout = 0,
    seed = 0,
    sentence = {},
    partly,
    recompute,
    ...options
  }: Partial<OptimizerOptions> &
    ChunkOptions & {
      dtype?: "f32" | "f16";
      dropout?: number;
      seed?: number;
      sentence?: SentenceOptions;
      partly?: (shapes: ReadonlyMap<string, Shape>) => Partly;
      recompute?: boolean;
    } = {},
): Promise<Small> {
  const heads = objectives.flatMap((name) => OBJECTIVES[name].heads);
  const begin = { deviation: 0.15 };
  let { flat } = await initialWeights(engine, CONFIG, heads, partly ? "f32" : dtype, undefined, begin);
  if (partly) {
    const shapes = shapesFor(CONFIG, heads);
    const checkpoint = await storedIn(engine, flat, shapes);
    flat.dispose();
    flat = (await initialWeights(engine, CONFIG, heads, dtype, checkpoint, { ...begin, ...partly(shapes) })).flat;
  }
  const rates: Dropout = { hidden: dropout, attention: dropout, classifier: dropout };
  const settings = sentenceSettings(sentence, CONFIG.hiddenSize);
  const model = { config: CONFIG, dtype, weights: flat.weights, dropout: rates, sentence: settings, recompute };
  const steps = await TrainingSteps.create(engine, model, flat, objectives, { totalSteps: 10, ...options }, seed);
  return {
    steps,
    flat,
    dispose() {
      steps.dispose();
      flat.dispose();
    },
  };
}

/** A checkpoint of what is on the GPU. */
async function storedIn(engine: Engine, flat: FlatWeights, shapes: ReadonlyMap<string, Shape>): Promise<Checkpoint> {
  const stored = new Map<string, Float32Array<ArrayBuffer>>();
  for await (const [name, values] of readStored(engine, flat, "weights")) stored.set(name, values.slice());
  const tensors = new Map(
    [...stored].map(([name, { length: elements }]) => {
      const shape = shapes.get(name)!;
      return [name, { name, dtype: "F32", shape, elements, bytes: 4 * elements, begin: 0, file: "" } as const];
    }),
  );
  const read = async (name: string) => stored.get(name)!;
  return {
    ...{ name: "stored", tensors, files: new Map(), warnings: [], read, readFloats: read },
    async *chunks(name, target) {
      const values = await read(name);
      yield target === "f16" ? numbersToFloat16(values) : values;
    },
    close: async () => {},
  };
}

/** Sequences of unlike lengths, one with masked tokens, with labels for masked LM, next sentences and classes. */
export function smallBatch(seed: number): Example[] {
  const next = uniforms(seed);
  const below = (end: number): number => Math.floor(next() * end);
  return [9, 1, 24, 13].map((length, s) => {
    const inputIds = Array.from({ length }, () => below(CONFIG.vocabSize));
    const words = inputIds.map((id, i) => (i % 4 === 0 ? (id + 7) % CONFIG.vocabSize : -100));
    return {
      sequence: {
        inputIds,
        tokenTypeIds: inputIds.map((_, i) => Number(i > length / 2)),
        attentionMask: s === 3 ? inputIds.map((_, i) => Number(i < 10)) : undefined,
      },
      labels: { words, next: s % 2, label: s % 3 },
    };
  });
}
