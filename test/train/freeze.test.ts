/** Frozen weights: they stay to the bit, cost nothing, and what is trained beside them learns the same. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesSource } from "../../src/files/bytes.ts";
import { openCheckpoint } from "../../src/files/checkpoint.ts";
import { openSafetensors } from "../../src/files/safetensors.ts";
import { Engine } from "../../src/runtime/engine.ts";
import type { Shape } from "../../src/runtime/tensor.ts";
import { frozenBy } from "../../src/train/frozen.ts";
import type { ObjectiveName } from "../../src/train/objectives.ts";
import type { TrainerOptions } from "../../src/train/options.ts";
import { readStored } from "../../src/train/read.ts";
import { memoryStore } from "../../src/train/store.ts";
import { Trainer, type TrainerParts } from "../../src/train/trainer.ts";
import { hasF16, testDevice } from "../device.ts";
import { smallBatch, smallTraining } from "./small.ts";
import { filesOf, folderOf, runTo, tinyData, tinyFolder, wholeAndResumed } from "./tiny.ts";

let engine: Engine;
let f16 = false;
let files: Record<string, Uint8Array>;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  f16 = hasF16(device);
  engine = await Engine.create({ device, adapter, idle });
  const begun = await Trainer.create(engine, tinyFolder(), tinyData(8), { ...OPTIONS, fromScratch: true });
  files = await filesOf(begun.model());
  begun.dispose();
});
afterAll(() => engine.dispose());

const OPTIONS: TrainerOptions = {
  ...{ objectives: ["label"], labels: ["LOW", "HIGH"], seed: 7, loggingSteps: 1 },
  ...{ learningRate: 3e-3, epochs: 2, batchSize: 8 },
};

const make = (options: Partial<TrainerOptions>, parts: TrainerParts = {}) =>
  Trainer.create(engine, folderOf(files), tinyData(24), { ...OPTIONS, ...options }, parts);

async function tensorsOf(file: Uint8Array): Promise<Map<string, Float32Array>> {
  const { tensors } = await openSafetensors(bytesSource("model.safetensors", file));
  const checkpoint = await openCheckpoint(folderOf({ "model.safetensors": file }));
  const values = new Map<string, Float32Array>();
  for (const name of tensors.keys()) values.set(name, await checkpoint.readFloats(name));
  return values;
}

describe("gradients of what is trained are those of the full run, to the bit", () => {
  const cases: readonly (readonly [string, readonly ObjectiveName[], readonly string[]])[] = [
    ["the embeddings and a layer", ["label"], ["embeddings", "layers:0"]],
    ["the layer above another", ["mlm"], ["layers:1"]],
    ["all layers", ["mlm", "next"], ["layers:0-1"]],
    ["the word table that decodes as well", ["mlm"], ["embeddings"]],
    ["the encoder and the pooler", ["label"], ["encoder", "pooler"]],
  ];
  test.for(cases)("without %s", async ([, objectives, parts]) => {
    const whole = await smallTraining(engine, objectives, { dropout: 0.1 });
    let frozen = (_: string): boolean => false;
    const partly = (shapes: ReadonlyMap<string, Shape>) => {
      frozen = frozenBy(parts, shapes);
      return { frozen };
    };
    const part = await smallTraining(engine, objectives, { dropout: 0.1, partly });
    const { steps, flat } = part;
    for (const own of [whole.steps, steps]) await own.gradients(smallBatch(1));
    const want = new Map<string, Float32Array>();
    for await (const [name, values] of readStored(engine, whole.flat, "gradients")) want.set(name, values);
    const got: string[] = [];
    for await (const [name, values] of readStored(engine, flat, "gradients")) {
      expect(values, name).toEqual(want.get(name));
      got.push(name);
    }
    expect(got.toSorted()).toEqual([...want.keys()].filter((name) => !frozen(name)).toSorted());
    const { gradients } = await steps.programs(smallBatch(1));
    const launches = gradients.launches.map(({ kernel }) => kernel);
    const count = (pattern: RegExp): number => launches.filter((name) => pattern.test(name)).length;
    const lowest = parts.includes("encoder") ? 2 : parts.join() === "embeddings,layers:0" ? 1 : 0;
    expect(count(/^attention_backward_q/)).toBe(2 - lowest);
    expect(count(/^segment_sums/)).toBe(frozen("embeddings.") ? 0 : 4);
    whole.dispose();
    part.dispose();
  });
});

describe("the model and its checkpoints", () => {
  test.for(["f32", "f16"] as const)(
    "%s: what is frozen is as it was, to the bit, the rest is not",
    async (dtype, { skip }) => {
      if (dtype === "f16" && !f16) skip("this adapter has no f16");
      const parts = ["embeddings", "layers:0"];
      const trainer = await make({ freeze: parts, dtype });
      await runTo(trainer, trainer.totalSteps);
      const own = await filesOf(trainer.snapshot());
      const [before, after] = [
        await tensorsOf(files["model.safetensors"]!),
        await tensorsOf(own["model.safetensors"]!),
      ];
      expect([...after.keys()].toSorted()).toEqual([...before.keys()].toSorted());
      const same = [...after].filter(([name, values]) => values.every((value, i) => value === before.get(name)![i]));
      const frozen = [...before.keys()].filter((name) => /^bert\.(embeddings|encoder\.layer\.0)\./.test(name));
      expect(same.map(([name]) => name).toSorted()).toEqual(frozen.toSorted());
      const moments = [...(await tensorsOf(own["optimizer.safetensors"]!)).keys()];
      expect(moments.filter((name) => /^bert\.(embeddings|encoder\.layer\.0)\./.test(name))).toEqual([]);
      expect(moments.length).toBeGreaterThan(20);
      trainer.dispose();
    },
  );

  test.for(["f32", "f16"] as const)("%s: a run goes on to the same bytes", async (dtype, { skip }) => {
    if (dtype === "f16" && !f16) skip("this adapter has no f16");
    const options = { freeze: ["embeddings", "layers:0"], dtype };
    const store = memoryStore();
    const [want, got] = await wholeAndResumed((parts) => make(options, parts), store);
    for (const file of ["model.safetensors", "optimizer.safetensors"]) expect(got[file], file).toEqual(want[file]);
    const other = await make({ ...options, freeze: ["embeddings"] }, { store });
    await expect(other.restore()).rejects.toThrow(/freeze was \["embeddings","layers:0"\], it is \["embeddings"\]/);
    other.dispose();
  });

  test("what is frozen takes no gradients and no moments, and a step takes less", async () => {
    const sizes: Record<string, number>[] = [];
    for (const freeze of [undefined, ["encoder"]]) {
      const trainer = await make({ freeze });
      sizes.push(Object.fromEntries((await trainer.memory()).map(({ what, bytes }) => [what, bytes])));
      trainer.dispose();
    }
    const [whole, part] = sizes;
    expect(whole).not.toHaveProperty("frozen weights");
    expect(part!.gradients).toBe(part!.weights);
    expect(part!.moments).toBe(2 * part!.weights!);
    expect(part!.weights! * 10).toBeLessThan(whole!.weights!);
    expect(part!["frozen weights"]! + part!.weights!).toBeGreaterThan(0.8 * whole!.weights!);
    expect(part!["a step"]! * 2).toBeLessThan(whole!["a step"]!);
  });
});

test("parts that there are not, all of them, and random ones are refused", async () => {
  await expect(make({ freeze: ["layer:1"] })).rejects.toThrow(
    'freeze: there is no "layer:1"; there are embeddings, layers:A-B or layers:N (from 0)',
  );
  await expect(make({ freeze: ["layers:2-3"] })).rejects.toThrow("freeze: layers:2-3 names no weights of this model");
  await expect(make({ freeze: ["pooler"], objectives: ["tags"] })).rejects.toThrow("pooler names no weights");
  await expect(make({ freeze: ["encoder"], fromScratch: true })).rejects.toThrow(
    "embeddings.word_embeddings.weight, embeddings.position_embeddings.weight, embeddings.token_type_embeddings.weight and others would begin random",
  );
});
