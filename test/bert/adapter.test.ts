/** LoRA adapters over a base that is shared: their outputs, several at once, what is refused, a device that is lost. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadAdapter } from "../../src/bert/adapter.ts";
import { openAdapter } from "../../src/bert/adapter_file.ts";
import { mergedTensors } from "../../src/bert/merge.ts";
import { BertModel } from "../../src/bert/model.ts";
import { bytesSource, type Folder } from "../../src/files/bytes.ts";
import { type Checkpoint, openCheckpoint, openCheckpointFile } from "../../src/files/checkpoint.ts";
import { float16ToFloat32, numbersToFloat16 } from "../../src/files/float16.ts";
import { planSafetensors, writeSafetensors } from "../../src/files/safetensors_writer.ts";
import { requestDevice } from "../../src/node/device.ts";
import { openFolder } from "../../src/node/folder.ts";
import { Engine } from "../../src/runtime/engine.ts";
import type { TrainerOptions } from "../../src/train/options.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { hasF16, testDevice } from "../device.ts";
import { filesOf, folderOf, tinyData, tinyFolder } from "../train/tiny.ts";

const FIXTURE = join(import.meta.dirname, "../../../shared/fixtures/training/lora-seqcls");
const there = existsSync(FIXTURE);
const reason = there ? "" : " (skipped: ../shared/fixtures/training is not there)";

type Files = Record<string, string | Uint8Array>;

const ALL = ["query", "key", "value", "dense"];
const SEQUENCES = [{ inputIds: [1, 5, 9, 30] }, { inputIds: [2, 44] }];

let engine: Engine;
let f16 = false;
let base: Files;
/** Of two tasks, over the same base: each with what training said of `SEQUENCES` at its end. */
let first: { files: Files; logits: Float32Array };
let tags: { files: Files; logits: Float32Array };

beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  f16 = hasF16(device);
  engine = await Engine.create({ device, adapter, idle });
  const begun = await Trainer.create(engine, tinyFolder({ initializer_range: 0.2 }), tinyData(8, "mlm"), {
    ...{ objectives: ["mlm"], fromScratch: true },
  });
  base = await filesOf(begun.model());
  begun.dispose();
  first = await trained({
    objectives: ["label"],
    labels: ["LOW", "MIDDLE", "HIGH"],
    lora: { rank: 3, alpha: 6, targets: ALL },
  });
  tags = await trained({ objectives: ["tags"], labels: ["O", "B"], lora: { rank: 2, targets: ["key"] } }, "tags");
}, 60_000);
afterAll(() => engine.dispose());

async function trained(
  options: Partial<TrainerOptions> & Pick<TrainerOptions, "objectives">,
  task: "label" | "tags" = "label",
) {
  let logits: Float32Array = new Float32Array();
  const trainer = await Trainer.create(
    engine,
    folderOf(base, "base"),
    tinyData(16, task),
    { learningRate: 2e-2, epochs: 2, ...options },
    {
      async evaluation(forward) {
        logits = (await forward(SEQUENCES, { logits: true })).logits.data;
        return {};
      },
    },
  );
  for await (const _ of trainer.run());
  const files: Files = await filesOf(trainer.model());
  trainer.dispose();
  return { files, logits };
}

const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));

async function logitsOf(model: BertModel): Promise<Float32Array> {
  return (await model.forward(SEQUENCES, { logits: true })).logits.data;
}

test.skipIf(!there)(`logits are those of PEFT, and of the base as it was${reason}`, async () => {
  const { inputs, logits, logits_without_adapter } = JSON.parse(readFileSync(join(FIXTURE, "expected.json"), "utf8"));
  const sequences = inputs.input_ids.map((inputIds: number[], i: number) => ({
    inputIds,
    attentionMask: inputs.attention_mask[i],
  }));
  const model = await BertModel.load(engine, openFolder(FIXTURE));
  const adapted = await loadAdapter(model, openFolder(join(FIXTURE, "adapter")));
  expect(apart((await adapted.forward(sequences, { logits: true })).logits.data, logits.data)).toBeLessThan(2e-6);
  const plain = (await model.forward(sequences, { logits: true })).logits.data;
  expect(apart(plain, logits_without_adapter.data)).toBeLessThan(2e-6);
  const merged = await BertModel.load(engine, openFolder(join(FIXTURE, "merged")));
  expect(apart((await merged.forward(sequences, { logits: true })).logits.data, logits.data)).toBeLessThan(2e-6);
  for (const own of [adapted, merged, model]) own.dispose();
});

describe("adapters over one base", () => {
  test("are of different tasks at once, and share its memory", async () => {
    const model = await BertModel.load(engine, folderOf(base, "base"));
    expect(model.has("logits")).toBe(false);
    const before = engine.memoryUse.bytes;
    const [one, other] = [
      await loadAdapter(model, folderOf(first.files)),
      await loadAdapter(model, folderOf(tags.files)),
    ];
    expect(one.weightBytes + other.weightBytes).toBeLessThan(model.weightBytes / 2);
    expect(engine.memoryUse.bytes - before).toBeLessThan(model.weightBytes / 2);
    expect([one.classifierKind, other.classifierKind, model.classifierKind]).toEqual(["sequence", "token", undefined]);
    expect(one.config.labels).toEqual(["LOW", "MIDDLE", "HIGH"]);
    const { lastHiddenState: plain } = await model.forward(SEQUENCES, { lastHiddenState: true });
    expect(await logitsOf(one)).toEqual(first.logits);
    expect(await logitsOf(other)).toEqual(tags.logits);
    one.dispose();
    expect(await logitsOf(other)).toEqual(tags.logits);
    expect(await model.forward(SEQUENCES, { lastHiddenState: true })).toMatchObject({ lastHiddenState: plain });
    other.dispose();
    model.dispose();
  });

  test.for([
    ["f16", 0.03],
    ["q8", 0.15],
  ] as const)("%s: gives nearly the same", async ([dtype, most], { skip }) => {
    if (dtype === "f16" && !f16) skip("this adapter has no f16");
    const model = await BertModel.load(engine, folderOf(base), { dtype });
    const adapted = await loadAdapter(model, folderOf(first.files));
    const scale = Math.max(...first.logits.map(Math.abs));
    expect(apart(await logitsOf(adapted), first.logits)).toBeLessThan(most * scale);
    adapted.dispose();
    model.dispose();
  });

  test("rank-stabilised scale, names of older files and labels of none are read", async () => {
    const json = JSON.parse(text(first.files["adapter_config.json"]!));
    const stable = {
      ...json,
      use_rslora: true,
      lora_alpha: (json.lora_alpha / json.r) * Math.sqrt(json.r),
      new_key: 1,
    };
    const { "merged_config.json": _, ...less } = first.files;
    const model = await BertModel.load(engine, folderOf(base));
    const adapted = await loadAdapter(model, folderOf({ ...less, "adapter_config.json": JSON.stringify(stable) }));
    expect(apart(await logitsOf(adapted), first.logits)).toBeLessThan(1e-5);
    expect(adapted.config.labels).toEqual(["LABEL_0", "LABEL_1", "LABEL_2"]);
    adapted.dispose();
    model.dispose();
  });

  test("are loaded again with it when the device was lost", async () => {
    const open = () => requestDevice({ adapter: process.env.BERT_WEBGPU_ADAPTER || "auto" });
    const own = await Engine.create({ open });
    const model = await BertModel.load(own, folderOf(base));
    const adapted = await loadAdapter(model, folderOf(first.files));
    const before = await logitsOf(adapted);
    own.device.destroy();
    await own.device.lost;
    expect(await logitsOf(adapted)).toEqual(before);
    own.dispose();
  });
});

const text = (content: string | Uint8Array): string =>
  typeof content === "string" ? content : new TextDecoder().decode(content);

async function mergedFile(own: Checkpoint, adapter: Folder, dtype?: "f32" | "f16"): Promise<Checkpoint> {
  const file = await openAdapter(adapter);
  const tensors = mergedTensors(own, file);
  const slices: Uint8Array[] = [];
  for await (const slice of writeSafetensors(tensors, planSafetensors(tensors, dtype && { dtype })))
    slices.push(slice.slice());
  await file.checkpoint.close();
  return openCheckpointFile(bytesSource("merged", new Uint8Array(Buffer.concat(slices))));
}

describe("an adapter merged into the weights of its base", () => {
  test.skipIf(!there)(`has the tensors of PEFT's merge${reason}`, async () => {
    const own = await openCheckpoint(openFolder(FIXTURE));
    const got = await mergedFile(own, openFolder(join(FIXTURE, "adapter")));
    const want = await openCheckpoint(openFolder(join(FIXTURE, "merged")));
    expect([...got.tensors.keys()].toSorted()).toEqual([...want.tensors.keys()].toSorted());
    for (const name of want.tensors.keys()) {
      const [a, b] = [await got.readFloats(name), await want.readFloats(name)];
      // PEFT rounds factor * B A first: the last bit of a weight below 1 may be another
      if (/(query|value)\.weight$/.test(name)) expect(apart(a, b), name).toBeLessThanOrEqual(2 ** -24);
      else expect(a, name).toEqual(b);
    }
    const half = await mergedFile(own, openFolder(join(FIXTURE, "adapter")), "f16");
    const name = "bert.encoder.layer.1.attention.self.value.weight";
    expect(half.tensors.get(name)!.dtype).toBe("F16");
    expect(await half.readFloats(name)).toEqual(float16ToFloat32(numbersToFloat16(await got.readFloats(name))));
  });

  test("computes as the adapter does, with the head that the base lacks", async () => {
    const own = await openCheckpoint(folderOf(base));
    const { tensors, ...got } = await mergedFile(own, folderOf(first.files));
    expect(tensors.has("classifier.weight") && tensors.has("bert.pooler.dense.bias")).toBe(true);
    const slices: Uint8Array[] = [];
    const plan = planSafetensors({ ...got, tensors });
    for await (const slice of writeSafetensors({ ...got, tensors }, plan)) slices.push(slice.slice());
    const files = {
      "config.json": text(first.files["merged_config.json"]!),
      "model.safetensors": new Uint8Array(Buffer.concat(slices)),
    };
    const model = await BertModel.load(engine, folderOf(files));
    expect(apart(await logitsOf(model), first.logits)).toBeLessThan(1e-5);
    model.dispose();
    const json = JSON.stringify({ ...JSON.parse(text(first.files["merged_config.json"]!)), num_hidden_layers: 1 });
    const small = await Trainer.create(engine, folderOf({ "config.json": json }), tinyData(8), {
      ...{ objectives: ["label"], labels: ["A", "B", "C"], fromScratch: true },
    });
    const other = await openCheckpoint(folderOf(await filesOf(small.model())));
    small.dispose();
    await expect(mergedFile(other, folderOf(first.files))).rejects.toThrow(
      "encoder.layer.1.output.dense is adapted as [32, 48], the base has no such layer",
    );
  });
});

describe("what is not run is refused, with all of it", () => {
  const load = async (adapter: Folder, over: Files = base) => {
    const model = await BertModel.load(engine, folderOf(over));
    const before = engine.memoryUse.bytes;
    const error: Error = await loadAdapter(model, adapter).then(
      () => expect.unreachable(),
      (error) => error,
    );
    expect(engine.memoryUse.bytes).toBe(before);
    model.dispose();
    return error.message;
  };
  const changed = (change: object): Folder => {
    const json = { ...JSON.parse(text(first.files["adapter_config.json"]!)), ...change };
    return folderOf({ ...first.files, "adapter_config.json": JSON.stringify(json) }, "odd");
  };

  test("of its configuration", async () => {
    const odd = { use_dora: true, bias: "all", rank_pattern: { key: 8 }, fan_in_fan_out: true, lora_alpha: "8" };
    expect(await load(changed(odd))).toBe(
      [
        "odd/adapter_config.json: 5 faults",
        "use_dora is true, which is not run",
        "fan_in_fan_out is true, which is not run",
        'rank_pattern is {"key":8}, which is not run',
        'bias is "all", none is run',
        'lora_alpha is "8", it must be a number',
      ].join("\n- "),
    );
    expect(await load(changed({ peft_type: "IA3", init_lora_weights: "pissa_niter_4" }))).toMatch(
      /peft_type is "IA3", LORA is run\n- init_lora_weights is "pissa_niter_4", by which the base has other weights/,
    );
    expect(await load(folderOf({}, "empty"))).toBe("empty: there is no adapter_config.json; is it an adapter of PEFT?");
    expect(await load(folderOf({ "adapter_config.json": text(first.files["adapter_config.json"]!) }, "half"))).toMatch(
      "half: neither adapter_model.safetensors nor adapter_model.bin is there",
    );
  });

  test("an option that there is not", async () => {
    const model = await BertModel.load(engine, folderOf(base));
    await expect(loadAdapter(model, folderOf(first.files), { scale: 2 } as object)).rejects.toThrow(
      'no option "scale"',
    );
    const adapted = await loadAdapter(model, folderOf(first.files), { disposeBase: true });
    await expect(loadAdapter(adapted, folderOf(first.files))).rejects.toThrow("has an adapter already");
    adapted.dispose();
    await expect(model.forward(SEQUENCES, { lastHiddenState: true })).rejects.toThrow("disposed");
  });

  test("of its tensors", async () => {
    expect(await load(changed({ r: 4 }))).toMatch(
      /query\.lora_A\.weight is \[3,32\] and .*lora_B\.weight \[32,3\], r is 4/,
    );
    const wide = await Trainer.create(engine, tinyFolder({ hidden_size: 64, num_hidden_layers: 1 }), tinyData(8), {
      ...{ objectives: ["label"], labels: ["A", "B", "C"], fromScratch: true },
    });
    const other = await filesOf(wide.model());
    wide.dispose();
    const message = await load(changed({}), other);
    expect(message).toMatch(
      "encoder.layer.0.attention.self.query is adapted from 32 to 32, the base has another shape: is it of another base?",
    );
    expect(message).toMatch("encoder.layer.1.output.dense is adapted, the base has no such layer");
    expect(message).toMatch("classifier.weight [3, 64] is [3, 32]");
    expect(message).toMatch('- it was trained over "base"');
  });
});
