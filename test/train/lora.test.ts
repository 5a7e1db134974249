/** Low-rank adapters in training: gradients, what is trained beside them, PEFT's files, and runs that go on. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { joinB } from "../../src/bert/lora.ts";
import { bytesSource } from "../../src/files/bytes.ts";
import { openCheckpointFile } from "../../src/files/checkpoint.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { sizeOf } from "../../src/runtime/tensor.ts";
import { type Lora, loraOf } from "../../src/train/lora.ts";
import type { TrainerOptions } from "../../src/train/options.ts";
import { readTensor } from "../../src/train/read.ts";
import { memoryStore } from "../../src/train/store.ts";
import { Trainer, type TrainerParts } from "../../src/train/trainer.ts";
import { hasF16, testDevice } from "../device.ts";
import { readFixture } from "./fixtures.ts";
import { type ExpectedLora, loraFindings } from "./lora_agreement.ts";
import { smallBatch, smallTraining } from "./small.ts";
import { filesOf, folderOf, runTo, tinyData, tinyFolder, wholeAndResumed } from "./tiny.ts";

const FIXTURE = join(import.meta.dirname, "../../../shared/fixtures/training/lora-seqcls");
const there = existsSync(FIXTURE);

let engine: Engine;
let f16 = false;
let files: Record<string, Uint8Array>;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  f16 = hasF16(device);
  engine = await Engine.create({ device, adapter, idle });
  files = await startOf({ objectives: ["label"] });
});
afterAll(() => engine.dispose());

const OPTIONS: TrainerOptions = {
  ...{ objectives: ["label"], labels: ["LOW", "HIGH"], seed: 7, loggingSteps: 1 },
  ...{ learningRate: 1e-2, epochs: 2, batchSize: 8 },
};

async function startOf(options: Partial<TrainerOptions>): Promise<Record<string, Uint8Array>> {
  const begun = await Trainer.create(engine, tinyFolder(), tinyData(8), { ...OPTIONS, ...options, fromScratch: true });
  const made = await filesOf(begun.model());
  begun.dispose();
  return made;
}

const make = (options: Partial<TrainerOptions>, parts: TrainerParts = {}, from = files) =>
  Trainer.create(engine, folderOf(from, "base"), tinyData(24), { ...OPTIONS, ...options }, parts);

async function shapesIn(file: Uint8Array): Promise<Record<string, string>> {
  const { tensors } = await openCheckpointFile(bytesSource("adapter_model.safetensors", file));
  return Object.fromEntries([...tensors].map(([name, { shape }]) => [name, shape.join()]));
}

const reason = there ? "" : " (skipped: ../shared/fixtures/training is not there)";
test.skipIf(!there)(`logits, gradients and three steps are those of PEFT${reason}`, async () => {
  const faults: string[] = [];
  let count = 0;
  for await (const { passed, text } of loraFindings(engine, readFixture<ExpectedLora>(FIXTURE)!, "f32")) {
    count++;
    if (!passed) faults.push(text);
  }
  expect(faults).toEqual([]);
  expect(count).toBe(22);
});

const norm = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values));

test.for([
  [["query", "value"], 0],
  [["key", "dense"], 0.3],
  [["attention.output.dense", "query", "key", "value"], 0.2],
] as const)("gradients of %j, %d dropped, are derivatives of the loss", async ([targets, dropout]) => {
  let lora: Lora | undefined;
  const small = await smallTraining(engine, ["label"], {
    ...{ dropout: dropout / 2, learningRate: 0, weightDecay: 0 },
    partly(shapes) {
      lora = loraOf({ rank: 3, alpha: 5, targets, dropout }, shapes, () => false);
      return { lora, frozen: lora.frozen };
    },
  });
  const { steps, flat } = small;
  const random = (seed: number, count: number): Float32Array<ArrayBuffer> =>
    Float32Array.from({ length: count }, (_, i) => 0.1 * Math.sin(seed + i * i + 1));
  for (const [label, { part, start, shape }] of flat.places) {
    if (!label.includes("lora_B")) continue;
    const layer = lora!.layers.get(label)!;
    const own = layer.blocks.map((block) => random(start + block, layer.outputs * 3));
    expect(sizeOf(shape)).toBe(layer.modules.length * layer.outputs * layer.blocks.length * 3);
    flat.parts[part]!.weights.write(joinB(layer, 3, own), start);
  }
  const batch = smallBatch(3);
  steps.drawn = 4;
  await steps.gradients(batch);
  const read = async (kind: "gradients" | "weights"): Promise<Float32Array[]> => {
    const all: Float32Array[] = [];
    for (const part of flat.parts) all.push(((await readTensor(engine, part[kind])) as Float32Array).slice());
    return all;
  };
  const [gradients, weights] = [await read("gradients"), await read("weights")];
  const lossOf = async (): Promise<number> => {
    steps.drawn = 4;
    return (await (await steps.step([batch])).read()).loss;
  };
  await lossOf();
  let compared = 0;
  for (const [label, { part, start, shape }] of flat.places) {
    const own = gradients[part]!.subarray(start, start + sizeOf(shape));
    const length = norm(own);
    const moved = async (h: number): Promise<number> => {
      flat.parts[part]!.weights.write(
        own.map((g, i) => weights[part]![start + i]! + (h * g) / length) as Float32Array<ArrayBuffer>,
        start,
      );
      return lossOf();
    };
    const slope = ((await moved(0.01)) - (await moved(-0.01))) / 0.02;
    flat.parts[part]!.weights.write(weights[part]!.slice(start, start + own.length), start);
    expect(Math.abs(slope - length), `${label}: ${slope}, gradient ${length}`).toBeLessThan(1e-2 * length + 2e-4);
    compared++;
  }
  expect(compared).toBe(2 * lora!.layers.size + 2);
  small.dispose();
});

describe("a run", () => {
  test("learns, takes little memory, and ends with PEFT's files", async () => {
    const trainer = await make({
      lora: { rank: 4, targets: ["query", "value", "dense"], baseModel: "org/base" },
      epochs: 8,
    });
    expect(trainer.random).toEqual([]);
    const memory = Object.fromEntries((await trainer.memory()).map(({ what, bytes }) => [what, bytes]));
    expect(memory.gradients! * 2).toBeLessThan(memory["frozen weights"]!);
    const losses = await runTo(trainer, trainer.totalSteps);
    expect(losses.at(-1)!).toBeLessThan(0.6 * losses[0]!);
    const own = await filesOf(trainer.model());
    trainer.dispose();
    expect(Object.keys(own)).toEqual([
      "merged_config.json",
      "vocab.txt",
      "adapter_config.json",
      "adapter_model.safetensors",
    ]);
    const json = JSON.parse(new TextDecoder().decode(own["adapter_config.json"]));
    expect(json).toMatchObject({
      ...{ peft_type: "LORA", r: 4, lora_alpha: 8, lora_dropout: 0, target_modules: ["query", "value", "dense"] },
      ...{ task_type: "SEQ_CLS", modules_to_save: ["classifier", "score"], base_model_name_or_path: "org/base" },
    });
    const names = [0, 1].flatMap((i) =>
      [
        ...[
          "attention.self.query",
          "attention.self.value",
          "attention.output.dense",
          "intermediate.dense",
          "output.dense",
        ],
      ].map((name) => `bert.encoder.layer.${i}.${name}`),
    );
    const low = [...names, "bert.pooler.dense"].flatMap((name) => [`${name}.lora_A.weight`, `${name}.lora_B.weight`]);
    const shapes = await shapesIn(own["adapter_model.safetensors"]!);
    const wanted = [...low, "classifier.weight", "classifier.bias"].map((name) => `base_model.model.${name}`);
    expect(Object.keys(shapes).toSorted()).toEqual(wanted.toSorted());
    expect(shapes["base_model.model.bert.encoder.layer.1.intermediate.dense.lora_B.weight"]).toBe("48,4");
    expect(shapes["base_model.model.bert.encoder.layer.0.attention.self.value.lora_B.weight"]).toBe("32,4");
  });

  test.for(["f32", "f16"] as const)("%s: that is interrupted goes on to the same bytes", async (dtype, { skip }) => {
    if (dtype === "f16" && !f16) skip("this adapter has no f16");
    const options = { lora: { rank: 2, alpha: 4, dropout: 0.1 }, dtype };
    const store = memoryStore();
    const [want, got] = await wholeAndResumed((parts) => make(options, parts), store);
    for (const file of ["adapter_model.safetensors", "optimizer.safetensors"])
      expect(got[file], file).toEqual(want[file]);
    expect(got).not.toHaveProperty("model.safetensors");
    const other = await make({ ...options, lora: { rank: 2, alpha: 8, dropout: 0.1 } }, { store });
    await expect(other.restore()).rejects.toThrow(/lora was \{"rank":2,"alpha":4,.*it is \{"rank":2,"alpha":8/);
    other.dispose();
    const base = await make(options, { store }, await startOf({ objectives: ["label"], seed: 8 }));
    await expect(base.restore()).rejects.toThrow(/frozen was [-\d.]+, it is/);
    base.dispose();
  });

  test("trains a pooler that the base lacks, and saves it", async () => {
    const masked = await startOf({ objectives: ["mlm"], labels: undefined });
    const trainer = await make({ lora: { rank: 1 } }, {}, masked);
    const own = await filesOf(trainer.model());
    trainer.dispose();
    const json = JSON.parse(new TextDecoder().decode(own["adapter_config.json"]));
    expect(json.modules_to_save).toEqual(["classifier", "score", "pooler"]);
    expect(await shapesIn(own["adapter_model.safetensors"]!)).toMatchObject({
      "base_model.model.bert.pooler.dense.weight": "32,32",
    });
    const more = await make({ lora: { rank: 1 }, objectives: ["mlm"], labels: undefined }, {}, masked);
    const config = JSON.parse(new TextDecoder().decode((await filesOf(more.model()))["adapter_config.json"]));
    expect(config).toMatchObject({ task_type: "FEATURE_EXTRACTION", modules_to_save: null });
    more.dispose();
  });
});

test("options that make no sense are refused, all in one message", async () => {
  await expect(make({ lora: { rank: 0, alpha: -1, dropout: 1, targets: ["query", "q_proj"] } })).rejects.toThrow(
    'lora: rank is 0, it must be an integer from 1; alpha is -1, it must be a number above 0; dropout is 1, it must be from 0 to less than 1; targets ["q_proj"] name no linear layer; there are query, key, value, dense',
  );
  await expect(make({ lora: { rank: 1 }, freeze: ["encoder"] })).rejects.toThrow("freeze and lora are both given");
  await expect(make({ lora: { rank: 1 }, fromScratch: true })).rejects.toThrow("would begin random and stay so");
});
