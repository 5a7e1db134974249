/** Models with int8 weights against the same in f32: memory, hidden states, answers. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { BertModel } from "../../src/bert/model.ts";
import { loadPretrained } from "../../src/bert/tasks/pretrained.ts";
import { createTask } from "../../src/bert/tasks/task.ts";
import { openFolder } from "../../src/node/folder.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { testDevice } from "../device.ts";
import { cosine } from "../support.ts";

const ROOT = join(import.meta.dirname, "../..");
const MOVIE_BERT = join(ROOT, "weights/movie-bert");
const SST2 = join(ROOT, "../shared/data/sst2/validation.tsv");

const { adapter } = await testDevice();
let engine: Engine;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
});
afterAll(() => engine.dispose());

test("movie-bert: hidden states keep their direction, the encoder's matrices take a quarter", async () => {
  const golden = JSON.parse(readFileSync(join(MOVIE_BERT, "golden.json"), "utf8"));
  const inputs = (golden.classification as { ids: number[] }[]).map(({ ids }) => ({ inputIds: ids }));
  const states: Float32Array[] = [];
  const bytes: number[] = [];
  for (const dtype of ["f32", "q8"] as const) {
    const model = await BertModel.load(engine, openFolder(MOVIE_BERT), { dtype });
    const { lastHiddenState } = await model.forward(inputs, { lastHiddenState: true });
    states.push(lastHiddenState!.data as Float32Array);
    bytes.push(model.weightBytes);
    const { hiddenSize: h, intermediateSize: f, numHiddenLayers } = model.config;
    const weights = numHiddenLayers * (4 * h * h + 2 * h * f);
    const outputs = numHiddenLayers * (5 * h + f);
    // 4 bytes become 1, and each output has a scale of 4; buffers round up to 16 bytes.
    if (dtype === "q8") {
      const saved = bytes[0]! - bytes[1]!;
      expect(Math.abs(saved - (3 * weights - 4 * outputs))).toBeLessThanOrEqual(numHiddenLayers * 4 * 32);
    }
    const used = engine.memoryUse.bytes;
    model.dispose();
    expect(used - engine.memoryUse.bytes).toBe(model.weightBytes);
  }
  const got = cosine(states[1]!, states[0]!);
  // 0.99997 was seen
  expect(got).toBeGreaterThan(0.9999);
});

test("a browser without the packed dot product is told so, before anything is allocated", async () => {
  vi.stubGlobal("navigator", { gpu: { wgslLanguageFeatures: new Set<string>() } });
  const before = engine.memoryUse.bytes;
  await expect(BertModel.load(engine, openFolder(MOVIE_BERT), { dtype: "q8" })).rejects.toThrow(
    "dtype q8 needs the WGSL language feature packed_4x8_integer_dot_product",
  );
  expect(engine.memoryUse.bytes).toBe(before);
  vi.unstubAllGlobals();
});

const reason = !existsSync(SST2)
  ? "needs ../shared"
  : /swiftshader/i.test(adapter.name)
    ? "minutes on SwiftShader"
    : undefined;
test.skipIf(reason)(`movie-bert on SST-2${reason ? ` (skipped: ${reason})` : ""}`, async () => {
  const rows = readFileSync(SST2, "utf8")
    .trimEnd()
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t"));
  const pretrained = await loadPretrained(engine, openFolder(MOVIE_BERT), { dtype: "q8" });
  const { labels } = pretrained.model.config;
  const results = await createTask(pretrained, "text-classification").run(rows.map(([text]) => text!));
  const correct = results.filter(([best], i) => labels.indexOf(best!.label) === Number(rows[i]![1])).length;
  // f32 has 730, q8 had as many; what stands on the edge may fall to either side
  expect(Math.abs(correct - 730), `${correct} right`).toBeLessThanOrEqual(4);
  pretrained.model.dispose();
});
