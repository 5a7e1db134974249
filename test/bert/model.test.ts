import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encoderFlops } from "../../bench/workloads.ts";
import type { Sequence } from "../../src/bert/batch.ts";
import { BertModel } from "../../src/bert/model.ts";
import type { Wanted } from "../../src/bert/outputs.ts";
import { openCheckpoint } from "../../src/files/checkpoint.ts";
import { reference } from "../../src/kernels/index.ts";
import { openFolder } from "../../src/node/folder.ts";
import { Engine } from "../../src/runtime/engine.ts";
import type { KernelTime } from "../../src/runtime/profiler.ts";
import { hasF16, testDevice } from "../device.ts";
import { countingDevice, limitedDevice } from "../runtime/counting.ts";
import { cosine, random } from "../support.ts";
import { tinyModel } from "./tiny.ts";

const WEIGHTS = new URL("../../weights/movie-bert", import.meta.url).pathname;

function sequences(lengths: readonly number[], seed: number, vocab = 8000): Sequence[] {
  const next = random(seed);
  return lengths.map((length) => ({ inputIds: Array.from({ length }, () => Math.floor(next() * vocab)) }));
}

describe("BertModel", () => {
  let engine: Engine;
  let model: BertModel;
  beforeAll(async () => {
    engine = await Engine.create(await testDevice());
    model = await BertModel.load(engine, openFolder(WEIGHTS));
  });
  afterAll(() => engine.dispose());

  it("computes each row of a ragged batch as if it were alone, whatever its neighbours", async () => {
    const batch = sequences([7, 1, 64, 3, 128, 17], 1);
    const wanted: Wanted = { lastHiddenState: true, logits: true, embedding: { pooling: "mean", normalize: true } };
    const together = await model.forward(batch, wanted);
    for (const [i, sequence] of batch.entries()) {
      const alone = await model.forward([sequence], wanted);
      const [begin, end] = [together.cuSeqlens[i]!, together.cuSeqlens[i + 1]!].map(
        (row) => row * model.config.hiddenSize,
      );
      const rows = together.lastHiddenState!.data.subarray(begin, end);
      expect(rows.length).toBe(alone.lastHiddenState!.data.length);
      expect(cosine(rows, alone.lastHiddenState!.data)).toBeGreaterThan(0.99999);
      for (const [j, value] of rows.entries())
        expect(Math.abs(value - alone.lastHiddenState!.data[j]!)).toBeLessThan(1e-4);
      const logits = together.logits!.data.subarray(2 * i, 2 * i + 2);
      expect(Math.abs(logits[0]! - alone.logits!.data[0]!)).toBeLessThan(1e-4);
    }
  });

  it("gives masked tokens no say and everything else the same answer", async () => {
    const [plain] = sequences([9], 2);
    const padded: Sequence = {
      inputIds: [...Array.from(plain!.inputIds), 5, 6, 7],
      attentionMask: [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    };
    const wanted: Wanted = { lastHiddenState: true, embedding: { pooling: "max", normalize: false } };
    const [a, b] = [await model.forward([plain!], wanted), await model.forward([padded], wanted)];
    const visible = b.lastHiddenState!.data.subarray(0, 9 * model.config.hiddenSize);
    expect(cosine(visible, a.lastHiddenState!.data)).toBeGreaterThan(0.999999);
    expect(cosine(b.embedding!.data, a.embedding!.data)).toBeGreaterThan(0.999999);
  });

  it("takes masks of 0 and 1, or of booleans, and refuses what else may pass for one", async () => {
    const inputIds = [1, 2, 3];
    const masks: readonly ArrayLike<number | boolean>[] = [
      [1, 1, 0],
      [true, true, false],
      new Float32Array([1, 1, -0]),
      new Uint8Array([1, 1, 0]),
    ];
    const states = await Promise.all(
      masks.map(async (attentionMask) => {
        const sequence = { inputIds, attentionMask: attentionMask as ArrayLike<number> };
        return (await model.forward([sequence], { lastHiddenState: true })).lastHiddenState!.data;
      }),
    );
    for (const state of states) expect(state).toEqual(states[0]);
    const all = (await model.forward([{ inputIds }], { lastHiddenState: true })).lastHiddenState!.data;
    expect(all).not.toEqual(states[0]);
    const remedy = "1: others attend to this token, 0: masked; additive masks are not taken";
    for (const value of [NaN, -Infinity, -10_000, 0.5, 2, -1, undefined, null, "1", 1n]) {
      const attentionMask = [1, value, 0] as number[];
      const refusal = new TypeError(`sequence 1: attentionMask[1] is ${value}; ${remedy}`);
      await expect(model.forward([{ inputIds }, { inputIds, attentionMask }], { logits: true })).rejects.toThrow(
        refusal,
      );
      await expect(model.bind([{ inputIds }, { inputIds, attentionMask }], { logits: true })).rejects.toThrow(refusal);
    }
    const additive = new Float32Array([0, 0, -3.4028234663852886e38]);
    await expect(model.forward([{ inputIds, attentionMask: additive }], { logits: true })).rejects.toThrow(
      "sequence 0: attentionMask[2] is -3.4028234663852886e+38",
    );
  });

  it("returns hidden states and attentions on request, and attentions that sum to 1", async () => {
    const { hiddenStates, attentions, lastHiddenState } = await model.forward(sequences([5, 8], 3), {
      hiddenStates: true,
      attentions: true,
      lastHiddenState: true,
    });
    expect(hiddenStates!.map(({ shape }) => shape)).toEqual(Array.from({ length: 4 }, () => [13, 192]));
    expect([...hiddenStates!.at(-1)!.data]).toEqual([...lastHiddenState!.data]);
    expect(attentions!.map((layer) => layer.map(({ shape }) => shape))).toEqual(
      Array.from({ length: 3 }, () => [
        [3, 5, 5],
        [3, 8, 8],
      ]),
    );
    const { data } = attentions![2]![1]!;
    for (let row = 0; row < 24; row++) {
      const sum = data.subarray(row * 8, row * 8 + 8).reduce((total, value) => total + value, 0);
      expect(sum).toBeCloseTo(1, 5);
    }
  });

  it("decodes only the rows asked for, and ranks them on the GPU as the CPU would", async () => {
    const batch = sequences([6, 11], 4);
    const rows = [2, 9, 16];
    const all = await model.forward(batch, { predictionLogits: true });
    const some = await model.forward(batch, {
      predictionLogits: true,
      predictionProbabilities: true,
      predictionTopK: 5,
      predictionRows: rows,
    });
    expect(some.predictionLogits!.shape).toEqual([3, 8000]);
    const { probabilities, ids } = some.predictionTopK!;
    for (const [i, row] of rows.entries()) {
      const full = all.predictionLogits!.data.subarray(row * 8000, (row + 1) * 8000);
      const part = some.predictionLogits!.data.subarray(i * 8000, (i + 1) * 8000);
      expect(cosine(part, full)).toBeGreaterThan(0.999999);
      const softmax = some.predictionProbabilities!.data.subarray(i * 8000, (i + 1) * 8000);
      const ranked = [...softmax.keys()].sort((a, b) => softmax[b]! - softmax[a]! || a - b).slice(0, 5);
      expect([...ids.subarray(i * 5, i * 5 + 5)]).toEqual(ranked);
      expect([...probabilities.subarray(i * 5, i * 5 + 5)]).toEqual(ranked.map((id) => softmax[id]!));
    }
  });

  it("predicts from every layer as its own head computes on the CPU", async () => {
    const [k, row] = [4, 2];
    const { hiddenStates, layerPredictionTopK, predictionTopK } = await model.forward(sequences([6], 12), {
      hiddenStates: true,
      layerPredictionTopK: k,
      predictionTopK: k,
      predictionRows: [row],
    });
    expect(layerPredictionTopK!.length).toBe(hiddenStates!.length);
    expect(layerPredictionTopK!.at(-1)).toEqual(predictionTopK);
    const checkpoint = await openCheckpoint(openFolder(WEIGHTS));
    const weight = (name: string): Promise<Float32Array> => checkpoint.readFloats(name);
    const { hiddenSize: h, vocabSize: vocab } = model.config;
    const dense = { m: 1, dtype: "f32", bias: true, residual: false, activation: "none" } as const;
    for (const layer of [0, 1]) {
      const x = hiddenStates![layer]!.data.subarray(row * h, (row + 1) * h);
      const transform = await weight("cls.predictions.transform.dense.weight");
      const bias = await weight("cls.predictions.transform.dense.bias");
      const { out: y } = reference.matmul({ ...dense, n: h, k: h, activation: "gelu" }, { x, weight: transform, bias });
      const gamma = await weight("cls.predictions.transform.LayerNorm.weight");
      const beta = await weight("cls.predictions.transform.LayerNorm.bias");
      const shape = { rows: 1, cols: h, eps: model.config.layerNormEps, dtype: "f32", residual: false } as const;
      const { out: z } = reference.layernorm(shape, { x: y!, gamma, beta });
      const decoder = {
        x: z!,
        weight: await weight("bert.embeddings.word_embeddings.weight"),
        bias: await weight("cls.predictions.bias"),
      };
      const { out: logits } = reference.matmul({ ...dense, n: vocab, k: h }, decoder);
      const { out } = reference.softmax({ rows: 1, cols: vocab, dtype: "f32" }, { x: logits! });
      const ranked = [...out!.keys()].sort((a, b) => out![b]! - out![a]!).slice(0, k);
      const { ids, probabilities } = layerPredictionTopK![layer]!;
      expect([...ids]).toEqual(ranked);
      for (const [i, id] of ranked.entries()) expect(probabilities[i]).toBeCloseTo(out![id]!, 5);
    }
    await checkpoint.close();
  });

  it("says what each launch of a program does, in the order of its profile", async () => {
    const batch = sequences([32], 13);
    const { program, inputs } = await model.program(batch, { lastHiddenState: true });
    const { launches } = program;
    expect(launches.length).toBe(program.dispatches);
    expect(launches.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(program.bytesMoved);
    const flops = launches.reduce((sum, launch) => sum + launch.flops, 0);
    expect(flops).toBe(encoderFlops(model.config, { name: "one text", sequences: batch }));
    if (!engine.device.features.has("timestamp-query")) return;
    let labels: string[] = [];
    const profile = (times: readonly KernelTime[]): void => {
      labels = times.map(({ label }) => label);
    };
    await program.run(inputs, { profile });
    expect(labels).toEqual(launches.map(({ label }) => label));
  });

  it("says what to give in place of a text, of nothing and of a list", async () => {
    const [batch, wanted] = [sequences([2], 4), { logits: true }];
    const given: readonly (readonly [unknown[], RegExp])[] = [
      [["x", wanted], /^TypeError: sequences are no list; give one: \[\{ inputIds \}\]$/],
      [[batch], /^TypeError: wanted is given undefined in place of options: an object of lastHiddenState, /],
      [[batch, "logits"], /^TypeError: wanted is given logits in place of options/],
      [[batch, wanted, ["signal"]], /^TypeError: forward is given a list in place of options: .* signal, profile, /],
    ];
    for (const [args, why] of given) {
      const told = await model.forward(...(args as Parameters<typeof model.forward>)).catch(String);
      expect(told).toMatch(why);
    }
  });

  it("names what is out of range, and what the checkpoint has no weights for", async () => {
    const forward = (sequence: Sequence, wanted: Wanted = { lastHiddenState: true }) =>
      model.forward([sequence], wanted);
    await expect(forward({ inputIds: [1, 8000] })).rejects.toThrow(
      "sequence 0: inputIds[1] is 8000, vocab_size allows 0 to 7999",
    );
    await expect(forward({ inputIds: [1, 1.5] })).rejects.toThrow("inputIds[1] is 1.5");
    await expect(forward({ inputIds: [] })).rejects.toThrow("sequence 0 is empty");
    await expect(forward({ input_ids: [1] } as never)).rejects.toThrow("sequence 0 is empty");
    await expect(model.forward([], { logits: true })).rejects.toThrow("the batch has no sequences");
    await expect(forward({ inputIds: [1], tokenTypeIds: [2] })).rejects.toThrow("type_vocab_size allows 0 to 1");
    await expect(forward({ inputIds: [1, 2], attentionMask: [1] })).rejects.toThrow(
      "attentionMask has 1 entries, inputIds has 2",
    );
    await expect(forward({ inputIds: new Uint16Array(513) })).rejects.toThrow(
      "positionIds[512] is 512, max_position_embeddings allows 0 to 511",
    );
    await expect(forward({ inputIds: [1] }, { spanLogits: true, seqRelationshipLogits: true })).rejects.toThrow(
      /2 faults[\s\S]*spanLogits asked, but the checkpoint has no weights for it \(it has the encoder, pooler, masked LM, sequence classifier of 2 \(NEGATIVE, POSITIVE\)\)/,
    );
    await expect(forward({ inputIds: [1] }, { predictionTopK: 1, predictionRows: [1] })).rejects.toThrow(
      "predictionRows holds 1",
    );
    await expect(forward({ inputIds: [1] }, { predictionTopK: 8001 })).rejects.toThrow("predictionTopK is 8001");
  });

  it("splits tables that one binding cannot hold, with the same answers", async () => {
    const { device, idle } = await testDevice();
    const narrow = await Engine.create({
      device: limitedDevice(device, { maxStorageBufferBindingSize: 1 << 20 }), // the word table has 6.1 MB
      idle,
    });
    const split = await BertModel.load(narrow, openFolder(WEIGHTS));
    const batch = sequences([12, 30], 5);
    const wanted: Wanted = { lastHiddenState: true, predictionTopK: 3, predictionRows: [4, 20] };
    const [a, b] = [await model.forward(batch, wanted), await split.forward(batch, wanted)];
    expect(cosine(a.lastHiddenState!.data, b.lastHiddenState!.data)).toBeGreaterThan(0.9999999);
    expect([...b.predictionTopK!.ids]).toEqual([...a.predictionTopK!.ids]);
    narrow.dispose();
  });

  it("gives the same answers with the kernels that a hardware adapter gets", async () => {
    const { device, adapter, idle } = await testDevice();
    const hardware = await Engine.create({ device, idle, adapter: { ...adapter, software: false } });
    const tiled = await BertModel.load(hardware, openFolder(WEIGHTS));
    const batch = sequences([3, 70], 11);
    const wanted: Wanted = { lastHiddenState: true, logits: true };
    const [a, b] = [await model.forward(batch, wanted), await tiled.forward(batch, wanted)];
    expect(cosine(a.lastHiddenState!.data, b.lastHiddenState!.data)).toBeGreaterThan(0.9999999);
    for (const [i, value] of a.logits!.data.entries()) expect(Math.abs(value - b.logits!.data[i]!)).toBeLessThan(1e-4);
    hardware.dispose();
  });

  it("creates nothing on the GPU and submits once when a shape comes again", async () => {
    const { device, idle } = await testDevice();
    const { device: counted, calls } = countingDevice(device);
    const watched = await Engine.create({ device: counted, idle });
    const wanted: Wanted = { logits: true, predictionTopK: 5, predictionRows: [1, 3] };
    const bert = await BertModel.load(watched, openFolder(WEIGHTS), { wanted: { logits: true } });
    const compiled = calls.createShaderModule;
    await bert.forward(sequences([20], 6), { logits: true });
    expect(calls.createShaderModule).toBe(compiled); // it was wanted: compiled while the weights were loading
    await bert.forward(sequences([9, 20], 6), wanted);
    expect(calls.createBindGroup).toBeGreaterThan(20); // the counter counts
    for (const name of Object.keys(calls)) delete calls[name];
    await bert.forward(sequences([14, 15], 7), wanted);
    expect(calls).toEqual({ createCommandEncoder: 1, submit: 1, writeBuffer: 3 }); // tokens, cuSeqlens, rows
    watched.dispose();
  });

  it("keeps buffers and bytes where they were over 1,000 runs of random shapes", async () => {
    const tiny = await BertModel.load(engine, tinyModel());
    const next = random(8);
    const wanted: Wanted = { logits: true };
    const largest = sequences(new Array<number>(8).fill(16), 9, 50);
    await tiny.forward(largest, wanted);
    const before = engine.memoryUse;
    for (let run = 0; run < 1000; run++) {
      const lengths = Array.from({ length: 1 + Math.floor(next() * 8) }, () => 1 + Math.floor(next() * 16));
      await tiny.forward(sequences(lengths, run, 50), wanted);
    }
    expect(engine.memoryUse).toEqual(before);
    tiny.dispose();
    tiny.dispose();
    await expect(tiny.forward(largest, wanted)).rejects.toThrow("the model was disposed");
    expect(engine.memoryUse.buffers).toBeLessThan(before.buffers - 20);
  });

  it("loads a model without layers, and gives its embeddings", async () => {
    const none = await BertModel.load(engine, tinyModel({ num_hidden_layers: 0 }), { wanted: { hiddenStates: true } });
    const { hiddenStates, lastHiddenState } = await none.forward(sequences([5], 3, 50), {
      hiddenStates: true,
      lastHiddenState: true,
    });
    expect(hiddenStates).toHaveLength(1);
    expect(hiddenStates![0]!.data).toEqual(lastHiddenState!.data);
    none.dispose();
  });

  it("runs in f16 where the device can, and says so where it cannot", async () => {
    const { device } = await testDevice();
    const half = BertModel.load(engine, openFolder(WEIGHTS), { dtype: "f16" });
    if (!hasF16(device)) {
      await expect(half).rejects.toThrow("dtype f16 needs the feature shader-f16");
      return;
    }
    const batch = sequences([40, 9], 10);
    const wanted: Wanted = { lastHiddenState: true };
    const [a, b] = [await model.forward(batch, wanted), await (await half).forward(batch, wanted)];
    expect(cosine(a.lastHiddenState!.data, b.lastHiddenState!.data)).toBeGreaterThan(0.9999);
    expect((await half).weightBytes).toBeLessThan(model.weightBytes * 0.51);
    (await half).dispose();
  });
});
