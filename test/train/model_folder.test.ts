/** The folders that training ends with: names, shapes and configuration as transformers 5.18 writes them. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BertModel } from "../../src/bert/model.ts";
import type { Wanted } from "../../src/bert/outputs.ts";
import { bytesSource } from "../../src/files/bytes.ts";
import { openCheckpointFile } from "../../src/files/checkpoint.ts";
import { openSafetensors } from "../../src/files/safetensors.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { uniforms } from "../../src/train/initial.ts";
import type { Labels } from "../../src/train/losses.ts";
import type { TrainerOptions } from "../../src/train/options.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { testDevice } from "../device.ts";
import { exampleOf, filesOf, folderOf, tinyFolder } from "./tiny.ts";

let engine: Engine;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  engine = await Engine.create({ device, adapter, idle });
});
afterAll(() => engine.dispose());

const layer = (i: number): string[] =>
  ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    .concat(["attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"])
    .map((name) => `bert.encoder.layer.${i}.${name}`);
const both = (names: readonly string[]): string[] => names.flatMap((name) => [`${name}.weight`, `${name}.bias`]);
const ENCODER = [
  ...["word", "position", "token_type"].map((name) => `bert.embeddings.${name}_embeddings.weight`),
  ...both(["bert.embeddings.LayerNorm", ...layer(0), ...layer(1)]),
];
const POOLER = both(["bert.pooler.dense"]);
const MLM = [
  ...both(["cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"]),
  "cls.predictions.bias",
];

interface Case {
  readonly options: Pick<TrainerOptions, "objectives" | "labels">;
  readonly labels: (ids: ArrayLike<number>, i: number) => Labels;
  readonly wanted: Wanted;
  readonly names: readonly string[];
  readonly config: object;
  readonly given?: object;
}

const words = (ids: ArrayLike<number>): Labels => ({ words: Array.from(ids) });
const CLASSIFIER = [...POOLER, ...both(["classifier"])];
const CASES: Readonly<Record<string, Case>> = {
  "one label": {
    options: { objectives: ["label"], labels: ["A", "B", "C"] },
    labels: (_, i) => ({ label: i % 3 }),
    wanted: { logits: true },
    names: CLASSIFIER,
    config: {
      ...{ architectures: ["BertForSequenceClassification"], problem_type: "single_label_classification" },
      ...{ id2label: { 0: "A", 1: "B", 2: "C" }, label2id: { A: 0, B: 1, C: 2 }, dtype: "float32" },
    },
    given: { torch_dtype: "float16", num_labels: 2, problem_type: "regression" },
  },
  "a number": {
    options: { objectives: ["number"], labels: ["score"] },
    labels: (_, i) => ({ label: i / 10 }),
    wanted: { logits: true },
    names: CLASSIFIER,
    config: { problem_type: "regression", id2label: { 0: "score" }, label2id: { score: 0 } },
  },
  tags: {
    options: { objectives: ["tags"], labels: ["O", "B", "I"] },
    labels: (ids) => ({ tags: Array.from(ids, (id) => id % 3) }),
    wanted: { logits: true },
    names: both(["classifier"]),
    config: { architectures: ["BertForTokenClassification"] },
  },
  pretraining: {
    options: { objectives: ["mlm", "next"] },
    labels: (ids, i) => ({ ...words(ids), next: i % 2 }),
    wanted: { predictionLogits: true, seqRelationshipLogits: true },
    names: [...POOLER, ...MLM, ...both(["cls.seq_relationship"])],
    config: { architectures: ["BertForPreTraining"], tie_word_embeddings: true },
  },
  "masked LM and a label": {
    options: { objectives: ["mlm", "label"], labels: ["A", "B"] },
    labels: (ids, i) =>
      i % 2 === 0 ? { ...words(ids), label: -100 } : { words: Array.from(ids, () => -100), label: (i >> 1) % 2 },
    wanted: { predictionLogits: true, logits: true },
    names: [...CLASSIFIER, ...MLM],
    config: {
      ...{ architectures: ["BertForMaskedLM", "BertForSequenceClassification"], tie_word_embeddings: true },
      problem_type: "single_label_classification",
    },
  },
  "masked LM, untied": {
    options: { objectives: ["mlm"] },
    labels: words,
    wanted: { predictionLogits: true },
    names: [...MLM, ...both(["cls.predictions.decoder"])],
    config: { architectures: ["BertForMaskedLM"], tie_word_embeddings: false },
    given: { tie_word_embeddings: false },
  },
  answers: {
    options: { objectives: ["span"] },
    labels: () => ({ start: 1, end: 2 }),
    wanted: { spanLogits: true },
    names: both(["qa_outputs"]),
    config: { architectures: ["BertForQuestionAnswering"] },
  },
};

describe("the model that was trained", () => {
  test.for(Object.entries(CASES))("%s", async ([, { options, labels, wanted, names, config, given }]) => {
    const random = uniforms(3);
    const examples = Array.from({ length: 8 }, (_, i) => {
      const { sequence } = exampleOf(random, "label");
      return { sequence, labels: labels(sequence.inputIds, i) };
    });
    const sequences = examples.map(({ sequence }) => sequence);
    let outputs: object = {};
    const trainer = await Trainer.create(
      engine,
      tinyFolder(given),
      { epoch: () => examples },
      { fromScratch: true, learningRate: 1e-3, epochs: 2, ...options },
      {
        evaluation: async (forward) => {
          outputs = await forward(sequences, wanted);
          return {};
        },
      },
    );
    for await (const _ of trainer.run());
    const files = await filesOf(trainer.model());
    trainer.dispose();
    expect(Object.keys(files)).toEqual(["config.json", "vocab.txt", "model.safetensors"]);
    const json = JSON.parse(new TextDecoder().decode(files["config.json"]));
    expect(json).toMatchObject(config);
    expect(json).not.toHaveProperty("torch_dtype");
    if (given && "num_labels" in given) expect(json).not.toHaveProperty("num_labels");
    const { tensors } = await openSafetensors(bytesSource("model.safetensors", files["model.safetensors"]!));
    expect([...tensors.keys()].sort()).toEqual([...ENCODER, ...names].sort());
    expect([...tensors.values()].every(({ dtype }) => dtype === "F32")).toBe(true);
    const model = await BertModel.load(engine, folderOf(files));
    expect(await model.forward(sequences, wanted as { logits: true })).toEqual(outputs);
    model.dispose();
  });
});

test("a folder that is trained further begins with its own weights, another classifier with random ones", async () => {
  const data = { epoch: () => [{ sequence: { inputIds: [1, 2, 3] }, labels: { label: 0 } }] };
  const begin = (files: Parameters<typeof folderOf>[0], options: Partial<TrainerOptions>) =>
    Trainer.create(engine, folderOf(files), data, { objectives: ["label"], epochs: 1, ...options });
  const first = await Trainer.create(engine, tinyFolder(), data, { objectives: ["label"], fromScratch: true });
  expect(first.random).toHaveLength(ENCODER.length + CLASSIFIER.length);
  const files = await filesOf(first.model());
  const second = await begin(files, {});
  expect(second.random).toEqual([]);
  expect((await filesOf(second.model()))["model.safetensors"]).toEqual(files["model.safetensors"]);
  const third = await begin(files, { labels: ["A", "B", "C"] });
  expect(third.random).toEqual(["classifier.weight", "classifier.bias"]);
  await expect(begin({ "vocab.txt": "" }, {})).rejects.toThrow("there is no config.json");
  await expect(begin({ "config.json": "{}" }, {})).rejects.toThrow("hidden_size is undefined");
  for (const trainer of [first, second, third]) trainer.dispose();
});

test("random tensors are all different, and others from another seed", async () => {
  const data = { epoch: () => [{ sequence: { inputIds: [1, 2, 3] }, labels: { label: 0 } }] };
  const seen = new Map<number, string>();
  for (const seed of [0, 1]) {
    const trainer = await Trainer.create(engine, tinyFolder(), data, {
      objectives: ["label"],
      fromScratch: true,
      seed,
    });
    const file = (await filesOf(trainer.model()))["model.safetensors"]!;
    trainer.dispose();
    const checkpoint = await openCheckpointFile(bytesSource("model.safetensors", file));
    for (const name of checkpoint.tensors.keys()) {
      if (/bias$|LayerNorm/.test(name)) continue;
      const value = (await checkpoint.readFloats(name)).at(-1)!;
      expect(seen.get(value), `${name} of seed ${seed}`).toBeUndefined();
      seen.set(value, `${name} of seed ${seed}`);
    }
  }
  expect(seen.size).toBe(2 * 17);
});
