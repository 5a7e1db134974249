/** Activations that are computed again in the backward pass: the same bits, less memory. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/runtime/engine.ts";
import { loraOf } from "../../src/train/lora.ts";
import type { ObjectiveName } from "../../src/train/objectives.ts";
import { readStored } from "../../src/train/read.ts";
import { memoryStore } from "../../src/train/store.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { hasF16, testDevice } from "../device.ts";
import { smallBatch, smallTraining } from "./small.ts";
import { filesOf, tinyData, tinyFolder } from "./tiny.ts";

let engine: Engine;
let f16 = false;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  f16 = hasF16(device);
  engine = await Engine.create({ device, adapter, idle });
});
afterAll(() => engine.dispose());

type Options = NonNullable<Parameters<typeof smallTraining>[2]>;

const lora: Options["partly"] = (shapes) => {
  const own = loraOf({ rank: 2, dropout: 0.1, targets: ["query", "value", "output.dense"] }, shapes, () => false);
  return { lora: own, frozen: own.frozen };
};

describe("gradients are those of what is kept, to the bit", () => {
  test.for<readonly [string, readonly ObjectiveName[], Options, again: number]>([
    ["of masked LM and next sentences", ["mlm", "next"], { dropout: 0.1 }, 2],
    ["of labels, without dropout", ["label"], {}, 2],
    ["of labels in f16", ["label"], { dropout: 0.2, dtype: "f16" }, 2],
    ["of an adapter", ["label"], { dropout: 0.1, partly: lora }, 2],
    [
      "above a frozen layer",
      ["label"],
      { dropout: 0.1, partly: () => ({ frozen: (name) => /^(emb|.*layer\.0\.)/.test(name) }) },
      1,
    ],
  ])("%s", async ([, objectives, options, left], { skip }) => {
    if (options.dtype === "f16" && !f16) skip("this adapter has no f16");
    const gradients: Map<string, Float32Array>[] = [];
    const launches: string[][] = [];
    for (const recompute of [false, true]) {
      const small = await smallTraining(engine, objectives, { ...options, recompute });
      if (options.dtype === "f16") small.steps.state.write(new Uint32Array(Float32Array.of(1024).buffer), 4);
      launches.push((await small.steps.programs(smallBatch(2))).gradients.launches.map(({ kernel }) => kernel));
      small.steps.drawn = 3;
      await small.steps.gradients(smallBatch(2));
      const own = new Map<string, Float32Array>();
      for await (const [name, values] of readStored(engine, small.flat, "gradients")) own.set(name, values.slice());
      gradients.push(own);
      small.dispose();
    }
    expect([...gradients[0]!.values()].some((values) => values.some((value) => value !== 0))).toBe(true);
    for (const [name, values] of gradients[0]!) expect(gradients[1]!.get(name), name).toEqual(values);
    const [once, again] = launches.map((own) => own.filter((name) => name.startsWith("attention_training")).length);
    expect([once, again]).toEqual([2, 2 + left]);
  });
});

test("takes less memory the more layers there are, and goes on where a run without it stopped", async () => {
  const store = memoryStore();
  const begin = (recompute: boolean) =>
    Trainer.create(
      engine,
      tinyFolder({ num_hidden_layers: 6 }),
      tinyData(24),
      { objectives: ["label"], labels: ["LOW", "HIGH"], fromScratch: true, epochs: 1, saveSteps: 1, recompute },
      { store },
    );
  const kept = await begin(false);
  for await (const _ of kept.run());
  const want = await filesOf(kept.snapshot());
  const again = await begin(true);
  const [most, least] = await Promise.all(
    [kept, again].map(async (trainer) => (await trainer.memory()).find(({ what }) => what === "a step")!.bytes),
  );
  expect(least! * 2).toBeLessThan(most!);
  expect(await again.restore("checkpoint-1")).toBe("checkpoint-1");
  for await (const _ of again.run());
  const got = await filesOf(again.snapshot());
  for (const file of ["model.safetensors", "optimizer.safetensors"]) expect(got[file], file).toEqual(want[file]);
  kept.dispose();
  again.dispose();
});
