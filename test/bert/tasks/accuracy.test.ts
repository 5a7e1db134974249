/** Real models on real sentences: as many right as PyTorch has. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadPretrained } from "../../../src/bert/tasks/pretrained.ts";
import { createTask } from "../../../src/bert/tasks/task.ts";
import { openFolder } from "../../../src/node/folder.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";

const ROOT = join(import.meta.dirname, "../../..");
const SHARED = join(ROOT, "../shared");
const DATA = join(SHARED, "data/sst2/validation.tsv");

const { adapter } = await testDevice();
const slow = /swiftshader/i.test(adapter.name);

describe("SST-2 validation, 872 sentences", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await Engine.create(await testDevice());
  });
  afterAll(() => engine.dispose());

  const cases: [name: string, folder: string, right: number][] = [
    ["movie-bert", join(ROOT, "weights/movie-bert"), 730],
    ["bert-tiny-sst2", join(SHARED, "models/bert-tiny-sst2"), 707],
  ];
  for (const [name, folder, right] of cases) {
    const missing = [DATA, folder].some((path) => !existsSync(path));
    const reason = missing ? "needs ../shared" : slow && name === "movie-bert" ? "a minute on SwiftShader" : undefined;
    test.skipIf(reason)(`${name}: ${right} right${reason ? ` (skipped: ${reason})` : ""}`, async () => {
      const [, ...lines] = readFileSync(DATA, "utf8").trimEnd().split("\n");
      const rows = lines.map((line) => line.split("\t"));
      expect(rows).toHaveLength(872);
      const pretrained = await loadPretrained(engine, openFolder(folder));
      const { labels } = pretrained.model.config;
      const task = createTask(pretrained, "text-classification");
      const results = await task.run(rows.map(([text]) => text!));
      const correct = results.filter(([best], i) => labels.indexOf(best!.label) === Number(rows[i]![1])).length;
      // a sentence on the edge may fall to either side
      expect(Math.abs(correct - right), `${correct} right`).toBeLessThanOrEqual(1);
      pretrained.model.dispose();
    });
  }
});
