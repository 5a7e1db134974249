/** The model that ships with the package, from text to probabilities, against float64 values of the same stored weights. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GOLDEN_BOUNDS, type Golden } from "../../bench/doctor/golden.ts";
import { fillMask } from "../../src/bert/tasks/fill_mask.ts";
import { loadPretrained, type Pretrained } from "../../src/bert/tasks/pretrained.ts";
import { classifyText } from "../../src/bert/tasks/text_classification.ts";
import { loadTokenizer } from "../../src/bert/tokenizer/load.ts";
import { openFolder } from "../../src/node/folder.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { hasF16, testDevice } from "../device.ts";

/** Of weights/manifest.json; sizes in bytes. */
interface Entry {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
  readonly files: readonly { path: string; size: number; sha256: string }[];
}

const FOLDER = join(import.meta.dirname, "../../weights/movie-bert");
const GOLDEN = JSON.parse(readFileSync(join(FOLDER, "golden.json"), "utf8")) as Golden;

test("every file has the size and the hash of weights/manifest.json", () => {
  const [{ name, size, sha256, files }] = JSON.parse(readFileSync(join(FOLDER, "../manifest.json"), "utf8")) as [Entry];
  expect(name).toBe(basename(FOLDER));
  expect(files.map(({ path }) => path).sort()).toEqual(readdirSync(FOLDER).sort());
  expect(size).toBe(files.reduce((sum, file) => sum + file.size, 0));
  expect(sha256).toBe(files.find(({ path }) => path === "model.safetensors")!.sha256);
  for (const file of files) {
    const bytes = readFileSync(join(FOLDER, file.path));
    expect(bytes.length, file.path).toBe(file.size);
    expect(createHash("sha256").update(bytes).digest("hex"), file.path).toBe(file.sha256);
  }
});

test("the tokenizer gives the ids that the model was trained on", async () => {
  const tokenizer = await loadTokenizer(openFolder(FOLDER));
  for (const { text, ids } of [...GOLDEN.classification, ...GOLDEN.fill_mask]) {
    expect(tokenizer.encode(text).ids, text).toEqual(ids);
  }
});

const { device } = await testDevice();

describe.each(["f32", "f16"] as const)("%s", (dtype) => {
  const { error, swap } = GOLDEN_BOUNDS[dtype];
  const missing = dtype === "f16" && !hasF16(device);
  describe.skipIf(missing)(missing ? "this adapter has no shader-f16" : "matches float64", () => {
    let engine: Engine;
    let pretrained: Pretrained;

    beforeAll(async () => {
      engine = await Engine.create(await testDevice());
      pretrained = await loadPretrained(engine, openFolder(FOLDER), { dtype });
    });
    afterAll(() => pretrained.model.dispose());

    test("label probabilities", async () => {
      const texts = GOLDEN.classification.map(({ text }) => text);
      const results = await classifyText(pretrained, texts, { topK: null });
      GOLDEN.classification.forEach(({ text, probabilities }, i) => {
        expect(results[i]!.length, text).toBe(2);
        for (const { label, score } of results[i]!) {
          const expected = probabilities[["NEGATIVE", "POSITIVE"].indexOf(label)]!;
          expect(Math.abs(score - expected), `${text}: ${label} ${score}, float64 ${expected}`).toBeLessThan(error);
        }
      });
    });

    test("the five likeliest words, in order", async () => {
      const texts = GOLDEN.fill_mask.map(({ text }) => text);
      const results = await fillMask(pretrained, texts);
      GOLDEN.fill_mask.forEach(({ text, top5 }, i) => {
        expect(results[i]!.length, "one mask, one list").toBe(1);
        const fills = results[i]![0]!;
        const words = new Map(top5);
        expect(fills.map(({ token_str }) => token_str).sort(), text).toEqual([...words.keys()].sort());
        fills.forEach(({ token_str, score, sequence }, rank) => {
          const expected = words.get(token_str)!;
          const gap = Math.abs(expected / top5[rank]![1] - 1);
          expect(gap, `${text}: ${token_str} in place ${rank + 1}`).toBeLessThanOrEqual(swap);
          expect(Math.abs(score - expected), `${text}: ${token_str} ${score}, float64 ${expected}`).toBeLessThan(error);
          expect(sequence).toBe(text.replace("[MASK]", token_str).replace(" .", "."));
        });
      });
    });

    test("a text in a batch gives what it gives alone", async () => {
      const texts = GOLDEN.classification.map(({ text }) => text);
      const together = await classifyText(pretrained, texts, { topK: null });
      for (const [i, text] of texts.entries()) {
        const [alone] = await classifyText(pretrained, [text], { topK: null });
        alone!.forEach(({ label, score }, rank) => {
          expect(together[i]![rank]!.label).toBe(label);
          expect(Math.abs(together[i]![rank]!.score - score), `${text}: ${label}`).toBeLessThan(error);
        });
      }
    });
  });
});
