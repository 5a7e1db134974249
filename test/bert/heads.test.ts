/** Heads: what each gives, against the CPU, and what is said of those that a checkpoint lacks. */

import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sequence } from "../../src/bert/batch.ts";
import { HEADS } from "../../src/bert/heads/index.ts";
import { BertModel } from "../../src/bert/model.ts";
import type { Wanted } from "../../src/bert/outputs.ts";
import { type ByteSource, bytesSource, type Folder } from "../../src/files/bytes.ts";
import { openCheckpoint } from "../../src/files/checkpoint.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { testDevice } from "../device.ts";
import { MASKED_LM_HEAD, tinyTask } from "./tasks/tiny_task.ts";
import { TINY, tinyModel } from "./tiny.ts";

const { vocab_size: VOCAB, hidden_size: HIDDEN } = TINY;
const BATCH: readonly Sequence[] = [
  { inputIds: [2, 7, 9, 11, 3] },
  { inputIds: [2, 40, 3, 0, 0], attentionMask: [1, 1, 1, 0, 0] },
  { inputIds: [2] },
];
const DIM = 6;
const PROJECTION = { "linear.weight": [DIM, HIDDEN] };

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
});
afterAll(() => engine.dispose());

const maskedLm = (): Folder => tinyTask({ architecture: "BertForMaskedLM", heads: MASKED_LM_HEAD });

/** A folder, and how much of its weights has been read. */
function watched(folder: Folder): { folder: Folder; read: () => number } {
  let bytes = 0;
  const watch = (source: ByteSource): ByteSource => ({
    ...source,
    read(offset, length) {
      if (offset > 0 && length > 8) bytes += length;
      return source.read(offset, length);
    },
  });
  return {
    folder: {
      name: folder.name,
      async open(path) {
        const source = await folder.open(path);
        return source && path.endsWith(".safetensors") ? watch(source) : source;
      },
    },
    read: () => bytes,
  };
}

test("every file of src/bert/heads is a head in the list, but for the list and what a head is", () => {
  const files = readdirSync(new URL("../../src/bert/heads", import.meta.url)).map((name) => name.replace(".ts", ""));
  const names = Object.keys(HEADS).map((name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
  expect(files.sort()).toEqual([...names, "head", "index"].sort());
});

describe("sparse embeddings", () => {
  test("are the greatest log(1 + relu(logit)) of the tokens that are not masked", async () => {
    const model = await BertModel.load(engine, maskedLm());
    const { sparseEmbedding, predictionLogits, cuSeqlens } = await model.forward(BATCH, {
      sparseEmbedding: true,
      predictionLogits: true,
    });
    expect(sparseEmbedding!.shape).toEqual([3, VOCAB]);
    let positive = 0;
    for (const [s, { inputIds, attentionMask }] of BATCH.entries()) {
      for (let piece = 0; piece < VOCAB; piece++) {
        let greatest = 0;
        for (let i = 0; i < inputIds.length; i++) {
          if (attentionMask?.[i] === 0) continue;
          greatest = Math.max(greatest, predictionLogits!.data[(cuSeqlens[s]! + i) * VOCAB + piece]!);
        }
        positive += greatest > 0 ? 1 : 0;
        expect(sparseEmbedding!.data[s * VOCAB + piece]).toBeCloseTo(Math.log1p(greatest), 5);
      }
    }
    expect(positive).toBeGreaterThan(0);
    expect(positive).toBeLessThan(3 * VOCAB);
    model.dispose();
  });

  test("take no more memory for being beside the head that they are made with", async () => {
    const model = await BertModel.load(engine, maskedLm());
    const tensors = (folder: Folder) => openCheckpoint(folder).then(({ tensors }) => [...tensors.values()]);
    const stored = (await tensors(maskedLm())).reduce((sum, { bytes }) => sum + Math.max(16, bytes), 0);
    expect(model.weightBytes).toBeLessThan(stored + 16 * 40); // the tied decoder and all else once, rounded up
    model.dispose();
  });
});

describe("token embeddings", () => {
  test("are the last hidden states, projected and of length 1", async () => {
    const folder = tinyTask({ architecture: "HF_ColBERT", heads: PROJECTION });
    const model = await BertModel.load(engine, folder);
    const checkpoint = await openCheckpoint(folder);
    const weight = await checkpoint.readFloats("linear.weight");
    const forward = await model.forward(BATCH, { tokenEmbeddings: true, lastHiddenState: true });
    expect(forward.tokenEmbeddings!.shape).toEqual([11, DIM]);
    for (let token = 0; token < 11; token++) {
      const state = forward.lastHiddenState!.data.subarray(token * HIDDEN, (token + 1) * HIDDEN);
      const projected = Array.from({ length: DIM }, (_, row) =>
        state.reduce((sum, x, i) => sum + x * weight[row * HIDDEN + i]!, 0),
      );
      const length = Math.hypot(...projected);
      for (const [i, x] of projected.entries()) {
        expect(forward.tokenEmbeddings!.data[token * DIM + i]).toBeCloseTo(x / length, 5);
      }
    }
    model.dispose();
  });

  test("come from a Dense module too, as PyLate keeps it, when it is a projection alone", async () => {
    const folder = tinyTask({ architecture: "HF_ColBERT", heads: PROJECTION });
    const { tensors } = await openCheckpoint(folder);
    expect(tensors.has("linear.weight")).toBe(true);
    const plain = tinyTask({ architecture: "BertModel", heads: {} });
    const config = { in_features: HIDDEN, out_features: DIM, bias: false, activation_function: "torch.nn.Identity" };
    const withDense = (changes: object): Folder => ({
      name: "pylate",
      open: async (path) => {
        if (path === "1_Dense/model.safetensors") return folder.open("model.safetensors");
        if (path !== "1_Dense/config.json") return plain.open(path);
        return bytesSource(path, new TextEncoder().encode(JSON.stringify({ ...config, ...changes })));
      },
    });
    const [one, two] = [await BertModel.load(engine, folder), await BertModel.load(engine, withDense({}))];
    const wanted: Wanted = { tokenEmbeddings: true };
    // the encoders have the same weights, since these come from the same seed in the same order
    expect((await two.forward(BATCH, wanted)).tokenEmbeddings).toEqual(
      (await one.forward(BATCH, wanted)).tokenEmbeddings,
    );
    for (const model of [one, two]) model.dispose();
    for (const changes of [{ bias: true }, { activation_function: "torch.nn.Tanh" }]) {
      await expect(BertModel.load(engine, withDense(changes))).rejects.toThrow(
        /1_Dense has a bias, a residual or an activation/,
      );
    }
  });

  test("are no head of a checkpoint whose linear.weight is something else", async () => {
    const model = await BertModel.load(engine, tinyTask({ heads: { "linear.weight": [3, HIDDEN + 1] } }));
    expect(model.has("tokenEmbeddings")).toBe(false);
    model.dispose();
  });
});

describe("loading", () => {
  test("warms up whatever is wanted, with more rows than the warm-up has tokens", async () => {
    const predictionRows = Array.from({ length: 40 }, (_, i) => i);
    const model = await BertModel.load(engine, maskedLm(), { wanted: { predictionTopK: 2, predictionRows } });
    expect(model.has("predictionTopK")).toBe(true);
    model.dispose();
  });

  test.each<[string, Wanted, RegExp]>([
    ["a missing head", { spanLogits: true }, /spanLogits asked, but the checkpoint has no weights for it/],
    ["what cannot be asked", { predictionTopK: VOCAB + 1 }, /predictionTopK is 51, it must be from 1 to/],
  ])("says %s before the weights are read, with nothing left on the GPU", async (_, wanted, why) => {
    const { folder, read } = watched(maskedLm());
    const before = engine.memoryUse;
    const openedOnly = await openCheckpoint(folder).then((checkpoint) => checkpoint.close().then(read));
    await expect(BertModel.load(engine, folder, { wanted })).rejects.toThrow(why);
    expect(read() - openedOnly).toBe(openedOnly); // its header once more
    expect(engine.memoryUse).toEqual(before);
  });
});

describe("rows and probabilities", () => {
  test("no rows asked for give outputs without rows", async () => {
    const model = await BertModel.load(engine, maskedLm());
    const forward = await model.forward(BATCH, {
      predictionRows: [],
      predictionLogits: true,
      predictionTopK: 3,
      layerPredictionTopK: 2,
      lastHiddenState: true,
    });
    expect(forward.predictionLogits).toEqual({ shape: [0, VOCAB], data: new Float32Array() });
    const none = { probabilities: new Float32Array(), ids: new Uint32Array() };
    expect(forward.predictionTopK).toEqual({ k: 3, ...none });
    expect(forward.layerPredictionTopK).toEqual([
      { k: 2, ...none },
      { k: 2, ...none },
    ]);
    expect(forward.lastHiddenState!.shape).toEqual([11, HIDDEN]);
    model.dispose();
  });

  test("none of the most probable is refused", async () => {
    const model = await BertModel.load(engine, maskedLm());
    await expect(model.forward(BATCH, { predictionTopK: 0 })).rejects.toThrow("predictionTopK is 0");
    await expect(model.forward(BATCH, { layerPredictionTopK: 0 })).rejects.toThrow("layerPredictionTopK is 0");
    model.dispose();
  });

  test("more probabilities than can be addressed are refused with both numbers", async () => {
    const model = await BertModel.load(engine, tinyModel({ max_position_embeddings: 50_000 }));
    const long = { inputIds: new Uint8Array(46_341) }; // 2 heads * 46,341^2 is just above 2^32
    const attend = model.forward([{ inputIds: [1] }, long], { attentions: true });
    await expect(attend).rejects.toThrow(/a layer has 4294976564, at most 4294967295 fit; ask for fewer/);
    model.dispose();
  });
});
