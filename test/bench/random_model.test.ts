import { describe, expect, test } from "vitest";
import { MODEL_SHAPES, type ModelShape, placesOf, randomModel, signOf } from "../../bench/random_model.ts";
import { openModel } from "../../src/bert/model.ts";
import { openCheckpoint } from "../../src/files/checkpoint.ts";
import { random } from "../support.ts";

const TINY: ModelShape = { layers: 2, hidden: 8, heads: 2, intermediate: 16, vocab: 50, positions: 20 };

async function weightsFile(seed?: number) {
  return (await randomModel("tiny", TINY, seed).open("model.safetensors"))!;
}

describe("a random model", () => {
  test("reads the same bytes whatever the slices", async () => {
    const file = await weightsFile();
    const whole = await file.read(0, file.size);
    const next = random(5);
    for (let i = 0; i < 300; i++) {
      const offset = Math.floor(next() * file.size);
      const length = Math.floor(next() * Math.min(file.size - offset, 99));
      expect(await file.read(offset, length)).toEqual(whole.slice(offset, offset + length));
    }
    for (let offset = 0; offset < file.size; offset += 1001) {
      const length = Math.min(1001, file.size - offset);
      expect(await file.read(offset, length)).toEqual(whole.slice(offset, offset + length));
    }
    await expect(file.read(file.size - 3, 4)).rejects.toThrow(RangeError);
  });

  test("can be nudged, each weight by its own sign, and tells the places of its tensors", async () => {
    const shape = { ...TINY, labels: 3 };
    const [plain, nudged] = await Promise.all([0, 0.25].map((nudge) => openModel(randomModel("a", shape, 1, nudge))));
    expect(plain!.config.labels).toEqual(["0", "1", "2"]);
    const places = placesOf(shape);
    expect([...places.keys()]).toEqual([...plain!.checkpoint.tensors.keys()]);
    let signs = 0;
    for (const [name, first] of places) {
      const before = await plain!.checkpoint.readFloats(name);
      const after = await nudged!.checkpoint.readFloats(name);
      expect(Array.from(after, (value, i) => Math.round((value - before[i]!) * 1e4) / 1e4)).toEqual(
        Array.from(before, (_, i) => 0.25 * signOf(first + i)),
      );
      signs += before.reduce((sum, _, i) => sum + signOf(first + i), 0);
    }
    expect(Math.abs(signs)).toBeLessThan(200); // of 1,600 or so, as many up as down
  });

  test("depends on the seed alone", async () => {
    const bytes = async (seed: number): Promise<Uint8Array> => {
      const file = await weightsFile(seed);
      return file.read(file.size / 2, 64);
    };
    expect(await bytes(1)).toEqual(await bytes(1));
    expect(await bytes(1)).not.toEqual(await bytes(2));
  });

  test("is a checkpoint that BERT accepts", async () => {
    const { config, checkpoint, parts } = await openModel(randomModel("tiny", TINY));
    expect(config).toMatchObject({ hiddenSize: 8, numHiddenLayers: 2, vocabSize: 50, maxPositionEmbeddings: 20 });
    expect(parts.titles).toEqual(["pooler"]);
    await checkpoint.close();
  });

  test("has weights as BERT is initialised: mean 0, deviation 0.02, norms 1 and 0", async () => {
    const checkpoint = await openCheckpoint(randomModel("mini", MODEL_SHAPES.mini));
    const weights = await checkpoint.readFloats("encoder.layer.1.output.dense.weight");
    const mean = weights.reduce((sum, value) => sum + value, 0) / weights.length;
    const deviation = Math.sqrt(weights.reduce((sum, value) => sum + (value - mean) ** 2, 0) / weights.length);
    expect(Math.abs(mean)).toBeLessThan(2e-4);
    expect(deviation).toBeCloseTo(0.02, 4);
    expect(new Set(weights.subarray(0, 1000)).size).toBeGreaterThan(995);
    expect(new Set(await checkpoint.readFloats("embeddings.LayerNorm.weight"))).toEqual(new Set([1]));
    expect(new Set(await checkpoint.readFloats("encoder.layer.3.output.LayerNorm.bias"))).toEqual(new Set([0]));
  });

  test("has as many parameters as the published models", async () => {
    const parameters = async (shape: ModelShape): Promise<number> => {
      const { tensors } = await openCheckpoint(randomModel("", shape));
      return [...tensors.values()].reduce((sum, { elements }) => sum + elements, 0);
    };
    expect(await parameters(MODEL_SHAPES.base)).toBe(109_482_240);
    expect(await parameters(MODEL_SHAPES.large)).toBe(335_141_888);
  });
});
