/** Losses of sentence vectors: against PyTorch's in the fixtures, and batches in chunks against the whole. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSentenceModules } from "../../src/bert/tasks/sentence_modules.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { uniforms } from "../../src/train/initial.ts";
import { openStart } from "../../src/train/model_folder.ts";
import type { TrainingData } from "../../src/train/options.ts";
import type { SentenceLossName } from "../../src/train/sentence_losses.ts";
import type { Example } from "../../src/train/step.ts";
import { memoryStore, type Store } from "../../src/train/store.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { hasF16, testDevice } from "../device.ts";
import { gradientFindings, valuesOf } from "./agreement.ts";
import { readFixture } from "./fixtures.ts";
import { CONFIG, smallTraining } from "./small.ts";
import { filesOf, folderOf, CONFIG as TINY, tinyFolder } from "./tiny.ts";

const ROOT = join(import.meta.dirname, "../../../shared/fixtures/training");
const NAMES = ["mnrl", "mnrl-hard", "matryoshka-mnrl", "cosine", "cosent", "triplet"];
const fixtures = NAMES.map((name) => [name, readFixture(join(ROOT, `embed-${name}`))] as const);
const reason = existsSync(ROOT) ? "" : " (skipped: ../shared/fixtures/training is not there)";

const { device } = await testDevice();
let engine: Engine;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  engine = await Engine.create({ device, adapter, idle });
});
afterAll(() => engine.dispose());

const DTYPES = [["f32"], ["f16"]] as const;

describe.each(DTYPES)("%s", (dtype) => {
  const lacks = dtype === "f16" && !hasF16(device);
  const wanting = lacks ? " (skipped: the adapter has no shader-f16)" : reason;
  test.skipIf(wanting !== "").each(fixtures)(`the loss and every gradient of %s${wanting}`, async (_, fixture) => {
    let count = 0;
    const faults: string[] = [];
    for await (const { passed, text } of gradientFindings(engine, fixture!, dtype)) {
      count++;
      if (!passed) faults.push(text);
    }
    expect(faults).toEqual([]);
    expect(count).toBeGreaterThan(20);
  });
});

/** Rows of several sequences of unlike lengths, with a number each. */
function rowsOf(count: number, columns: number, seed: number): Example[] {
  const next = uniforms(seed);
  const sequence = () => ({
    inputIds: Array.from({ length: 2 + Math.floor(next() * 9) }, () => 1 + Math.floor(next() * (CONFIG.vocabSize - 1))),
  });
  return Array.from({ length: count }, () => ({
    sequence: sequence(),
    more: Array.from({ length: columns - 1 }, sequence),
    labels: { label: next() },
  }));
}

const norm = (values: ArrayLike<number>): number => Math.sqrt(Array.from(values).reduce((sum, x) => sum + x * x, 0));

const LOSSES: readonly (readonly [SentenceLossName, number, readonly number[] | undefined])[] = [
  ["mnrl", 2, undefined],
  ["mnrl", 3, [32, 12]],
  ["cosent", 2, undefined],
  ["cosine", 2, [20, 8]],
  ["triplet", 3, undefined],
];

describe("a batch in chunks", () => {
  const HALF: typeof LOSSES = hasF16(device) ? LOSSES.slice(1, 2) : [];
  test.each([...LOSSES.map((row) => [...row, "f32"] as const), ...HALF.map((row) => [...row, "f16"] as const)])(
    "%s of %d columns, dimensions %j, %s: is the step of the large batch",
    async (loss, columns, dims, dtype) => {
      const options = { sentence: { matryoshka: dims }, dtype };
      const batch = rowsOf(7, columns, 3);
      const whole = await smallTraining(engine, [loss], options);
      const parted = await smallTraining(engine, [loss], { ...options, miniBatchSize: 3 });
      const scale = dtype === "f16" ? 1024 : 1;
      for (const { steps } of [whole, parted]) {
        steps.state.write(new Uint32Array(Float32Array.of(scale).buffer), 4);
        await steps.gradients(batch);
      }
      const want = await valuesOf(engine, whole.flat, "gradients");
      const got = await valuesOf(engine, parted.flat, "gradients");
      const total = Math.hypot(...[...want.values()].map(norm));
      expect(total / scale).toBeGreaterThan(1e-3);
      for (const [name, values] of want) {
        const error = norm(values.map((x, i) => x - got.get(name)![i]!));
        expect(error, name).toBeLessThan(1e-5 * Math.max(norm(values), 1e-2 * total));
      }
      const states = await Promise.all([whole, parted].map(async ({ steps }) => (await steps.step([batch])).read()));
      const [one, other] = await Promise.all(states);
      expect(other!.loss).toBeCloseTo(one!.loss, 5);
      expect(parted.steps.drawn).toBe(6); // three chunks, twice
      for (const own of [whole, parted]) own.dispose();
    },
  );

  // were the draws of a chunk others when it is computed again, the gradient would be of another loss
  test.each(LOSSES)(
    "%s of %d columns, dimensions %j: with dropout, a gradient of its loss",
    async (loss, columns, dims) => {
      const options = { sentence: { matryoshka: dims }, miniBatchSize: 2, dropout: 0.2, learningRate: 0, seed: 5 };
      const { steps, flat, dispose } = await smallTraining(engine, [loss], options);
      const batch = rowsOf(5, columns, 8);
      const lossOf = async (): Promise<number> => {
        steps.drawn = 9;
        return (await (await steps.step([batch])).read()).loss; // its learning rate is 0
      };
      await steps.gradients(batch);
      await lossOf();
      const whole = await lossOf();
      expect(await lossOf()).toBe(whole);
      steps.drawn = 9;
      await steps.gradients(batch);
      const gradients = await valuesOf(engine, flat, "gradients");
      const weights = await valuesOf(engine, flat, "weights");
      await lossOf();
      const length = Math.hypot(...[...gradients.values()].map(norm));
      const at = async (distance: number): Promise<number> => {
        for (const [label, { part, start }] of flat.places) {
          let from = start;
          for (const name of label.split(" + ")) {
            const [own, toward] = [weights.get(name)!, gradients.get(name)!];
            flat.parts[part]!.weights.write(
              own.map((weight, i) => weight + (distance * toward[i]!) / length),
              from,
            );
            from += own.length;
          }
        }
        return lossOf();
      };
      // long enough for f32's noise, short enough for the curvature
      const step = 0.02 / Math.sqrt(Math.max(1, length));
      const slope = ((await at(step)) - (await at(-step))) / (2 * step);
      expect(Math.abs(slope / length - 1)).toBeLessThan(0.02);
      dispose();
    },
  );

  test("draws others for every chunk", async () => {
    const { steps, dispose } = await smallTraining(engine, ["mnrl"], { miniBatchSize: 1, dropout: 0.2 });
    const [row] = rowsOf(1, 2, 4);
    // were they the same, the equal chunks would have equal vectors, and all candidates equal scores
    const batch = Array.from({ length: 4 }, () => row!);
    const { loss } = await (await steps.step([batch])).read();
    expect(Math.abs(loss - Math.log(4))).toBeGreaterThan(1e-3);
    dispose();
  });

  test("takes a smaller batch after a larger one, and memory for the largest", async () => {
    const { steps, dispose } = await smallTraining(engine, ["mnrl"], { miniBatchSize: 2 });
    const before = steps.bytes;
    await steps.runBytes([rowsOf(5, 2, 1)]);
    expect(steps.cacheBytes).toBeGreaterThanOrEqual(2 * 10 * CONFIG.hiddenSize * 4);
    const { cacheBytes } = steps;
    for (const count of [3, 5, 2, 4]) await (await steps.step([rowsOf(count, 2, count)])).read();
    expect([steps.cacheBytes, steps.bytes]).toEqual([cacheBytes, before]);
    await steps.step([rowsOf(9, 3, 1)]);
    expect(steps.cacheBytes).toBeGreaterThan(cacheBytes);
    dispose();
  });
});

describe("a run", () => {
  const data = (columns: number): TrainingData => ({
    *epoch(epoch) {
      const rows = rowsOf(23, columns, 40);
      // texts that are there in every fifth row, so that some rows wait
      for (const [i, row] of rows.entries()) yield (i + epoch) % 5 === 0 ? { ...row, more: rows[0]!.more } : row;
    },
    fingerprint: `${columns}`,
  });
  const mapped = ({ inputIds }: Example["sequence"]) => ({ inputIds: Array.from(inputIds, (id) => 1 + (id % 59)) });
  const folder = tinyFolder();

  test.each([
    ["mnrl", { batchSize: 6, miniBatchSize: 4, sentence: { matryoshka: [32, 8] } }],
    ["mnrl", { batchTokens: 90, gradientAccumulation: 2 }],
    ["cosent", { batchSize: 5 }],
    ["triplet", { batchSize: 4, sentence: { margin: 2, pooling: "cls" } }],
  ] as const)("of %s, %j, goes on to the same bits", async (loss, given) => {
    const options = { ...given, objectives: [loss], epochs: 2, seed: 3, fromScratch: true, loggingSteps: 1 } as const;
    const rows = data(loss === "triplet" ? 3 : 2);
    const make = (store?: Store) => Trainer.create(engine, folder, reduced(rows), options, { store });
    const whole = await make();
    for await (const _ of whole.run());
    const want = await filesOf(whole.model());
    whole.dispose();
    const store = memoryStore();
    for (let last = -1; ; ) {
      const part = await make(store);
      await part.restore();
      const stop = new AbortController();
      for await (const event of part.run({ signal: stop.signal })) {
        if (event.kind === "step" && event.step > last + 2) stop.abort();
      }
      last = part.step;
      await part.save();
      const { finished } = part;
      if (finished) expect(await filesOf(part.model())).toEqual(want);
      part.dispose();
      if (finished) break;
    }
  });

  test("tells the memory of kept vectors, and learns", async () => {
    const options = { objectives: ["mnrl"], batchSize: 8, miniBatchSize: 3, epochs: 12, fromScratch: true } as const;
    const dropout = { hidden: 0, attention: 0, classifier: 0 };
    const rates = { learningRate: 2e-3, loggingSteps: 1, seed: 1 };
    const trainer = await Trainer.create(engine, folder, reduced(data(2)), { ...options, ...rates, dropout });
    const memory = await trainer.memory();
    const kept = memory.find(({ what }) => what === "kept vectors")!;
    expect(kept.bytes).toBeGreaterThanOrEqual(2 * 16 * 32 * 4);
    const losses: number[] = [];
    for await (const event of trainer.run()) if (event.kind === "step") losses.push(event.loss);
    expect(await trainer.memory()).toEqual(memory);
    const mean = (some: readonly number[]): number => some.reduce((a, b) => a + b, 0) / some.length;
    expect(mean(losses.slice(-6))).toBeLessThan(0.7 * mean(losses.slice(0, 6)));
    trainer.dispose();
  });

  /** To the tokens of the tiny model. */
  function reduced(given: TrainingData): TrainingData {
    return {
      ...given,
      async *epoch(epoch) {
        for await (const { sequence, more, labels } of given.epoch(epoch))
          yield { sequence: mapped(sequence), more: more!.map(mapped), labels };
      },
    };
  }
});

describe("a folder", () => {
  const modules = (...kinds: string[]): string =>
    JSON.stringify(
      kinds.map((kind, idx) => ({
        idx,
        path: idx === 0 ? "0_Transformer" : `${idx}_${kind}`,
        type: `sentence_transformers.models.${kind}`,
      })),
    );
  const CONFIG_JSON = JSON.stringify({ ...TINY, num_labels: 2 });
  const start = (files: Record<string, string>, sentence = {}) =>
    openStart(folderOf(files), { objectives: ["mnrl"], fromScratch: true, sentence });
  const plain = { "config.json": CONFIG_JSON, "vocab.txt": "[PAD]\n" };

  test("without files of sentence-transformers gets them", async () => {
    const { files, json, sentence } = await start(plain, { maxLength: 12 });
    const written = new Map(files);
    expect([...written.keys()]).toEqual([
      "vocab.txt",
      "modules.json",
      "sentence_bert_config.json",
      "config_sentence_transformers.json",
      "1_Pooling/config.json",
    ]);
    expect(json.architectures).toEqual(["BertModel"]);
    expect(sentence!.settings).toMatchObject({ pooling: "mean", normalize: false, scale: 20, margin: 5 });
    expect(JSON.parse(written.get("sentence_bert_config.json")!)).toEqual({ do_lower_case: false, max_seq_length: 12 });
    expect(JSON.parse(written.get("modules.json")!).map(({ path }: { path: string }) => path)).toEqual([
      "",
      "1_Pooling",
    ]);
    expect(JSON.parse(written.get("1_Pooling/config.json")!)).toMatchObject({
      ...{ word_embedding_dimension: 32, pooling_mode_mean_tokens: true, pooling_mode_cls_token: false },
    });
  });

  const own = {
    "modules.json": modules("Transformer", "Pooling", "Normalize"),
    "0_Transformer/config.json": CONFIG_JSON,
    "0_Transformer/vocab.txt": "[PAD]\n",
    "0_Transformer/sentence_bert_config.json": '{"max_seq_length": 20, "do_lower_case": true, "other": 1}',
    "1_Pooling/config.json":
      '{"word_embedding_dimension": 32, "pooling_mode_cls_token": true, "include_prompt": false}',
    "config_sentence_transformers.json": '{"prompts": {"query": "q: "}}',
  };

  test("with them keeps what they say", async () => {
    const { files, sentence } = await start(own);
    const written = new Map(files);
    expect(sentence!.settings).toMatchObject({ pooling: "cls", normalize: true });
    expect(JSON.parse(written.get("sentence_bert_config.json")!)).toEqual({
      ...{ max_seq_length: 20, do_lower_case: true, other: 1 },
    });
    expect(written.get("config_sentence_transformers.json")).toBe(own["config_sentence_transformers.json"]);
    const { modules, normalize, ...rest } = (await readSentenceModules(folderOf(Object.fromEntries(written))))!;
    expect(modules).toMatchObject([{ poolings: ["cls"], includePrompt: false }]);
    expect([normalize, rest.path, rest.maxSeqLength, rest.prompts]).toEqual([true, "", 20, { query: "q: " }]);
    const other = await start(own, { pooling: "max" });
    expect(new Map(other.files).get("1_Pooling/config.json")).toContain('"pooling_mode_max_tokens": true');
  });

  test("whose vectors are made otherwise is refused", async () => {
    const weighted = { ...own, "1_Pooling/config.json": '{"pooling_mode": "weighted_mean"}' };
    await expect(start(weighted)).rejects.toThrow("pools by weighted_mean; trained are cls, mean and max: choose one");
    const norm = { ...own, "modules.json": modules("Transformer", "Pooling", "Normalize", "Normalize") };
    await expect(start(norm)).rejects.toThrow("has others than Transformer, Pooling and Normalize");
  });
});

describe("refuses", () => {
  const refused = async (loss: SentenceLossName | "label", examples: readonly Example[]): Promise<unknown> => {
    const { steps, dispose } = await smallTraining(engine, [loss]);
    try {
      return await steps.step([examples]).then(
        () => "taken",
        (error: Error) => `${error.name}: ${error.message}`,
      );
    } finally {
      dispose();
    }
  };

  test("numbers of sequences that a loss does not take, and numbers that are none", async () => {
    expect(await refused("mnrl", rowsOf(2, 1, 1))).toMatch(/^RangeError: mnrl takes an anchor, a positive/);
    expect(await refused("cosent", rowsOf(2, 3, 1))).toMatch(/^RangeError: cosent takes two sequences/);
    expect(await refused("triplet", rowsOf(2, 2, 1))).toMatch(/^RangeError: triplet takes an anchor, a positive and/);
    expect(await refused("label", rowsOf(2, 2, 1))).toBe(
      "RangeError: label takes one sequence of an example; example 0 has 1 more",
    );
    expect(await refused("mnrl", [...rowsOf(2, 3, 1), ...rowsOf(1, 2, 1)])).toBe(
      "RangeError: example 2 has 1 more sequences, example 0 has 2",
    );
    const unlabelled = rowsOf(2, 2, 1).map((example) => ({ ...example, labels: {} }));
    expect(await refused("cosine", unlabelled)).toBe(
      "RangeError: row 0: label is undefined, it must be a finite number",
    );
  });

  test("options that are not for it", async () => {
    const refusal = (options: object): Promise<string> =>
      Trainer.create(engine, tinyFolder(), { epoch: () => rowsOf(4, 2, 1) }, { objectives: ["mnrl"], ...options }).then(
        () => "taken",
        (error: Error) => error.message,
      );
    expect(await refusal({ sentence: { temperature: 1 } })).toMatch(/sentence.*temperature/);
    expect(await refusal({ miniBatchSize: 2, batchTokens: 20 })).toMatch(/miniBatchSize parts batches of batchSize/);
    expect(await refusal({ objectives: ["label"], miniBatchSize: 2 })).toMatch(
      /for losses of sentences, not for label/,
    );
    expect(await refusal({ objectives: ["mnrl", "mlm"] })).toMatch(/objectives \["mnrl","mlm"\]: there are mlm, next/);
    expect(await refusal({ fromScratch: true, sentence: { matryoshka: [64] } })).toMatch(/matryoshka has 64/);
  });

  test("settings that make no sense, all at once", async () => {
    const sentence = { scale: 0, margin: Number.NaN, matryoshka: [64, 8, 8] };
    await expect(smallTraining(engine, ["mnrl"], { sentence })).rejects.toThrow(
      "scale is 0, it must be a number above 0; margin is NaN, it must be a number above 0; " +
        "matryoshka is [64,8,8], it must be numbers of dimensions, each once; matryoshka has 64, the vectors have 32 dimensions",
    );
  });
});
