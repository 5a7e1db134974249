/** The examples of docs/training.md, run as they stand. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, test, vi } from "vitest";
import { BertModel } from "../../src/bert/model.ts";
import type { Folder } from "../../src/files/bytes.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { wgslModules } from "../../wgsl.ts";
import { testDevice } from "../device.ts";
import { filesOf, folderOf, tinyFolder } from "./tiny.ts";

const ROOT = join(import.meta.dirname, "../..");

interface ClassifierExample {
  trainClassifier(engine: Engine, folder: Folder): Promise<Map<string, Uint8Array[]>>;
}

/** What the example with this function exports. */
async function exampleOf<Example>(name: keyof Example & string): Promise<Example> {
  const text = readFileSync(join(ROOT, "docs/training.md"), "utf8");
  const examples = [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code!);
  const contents = examples.find((code) => code.includes(`function ${name}(`));
  const { outputFiles } = await build({
    stdin: { contents: contents!, resolveDir: ROOT, loader: "ts" },
    alias: { "bert-webgpu/train": join(ROOT, "src/train/index.ts"), "bert-webgpu": join(ROOT, "src/index.ts") },
    plugins: [wgslModules(ROOT)],
    bundle: true,
    write: false,
    format: "esm",
  });
  const url = `data:text/javascript;base64,${Buffer.from(outputFiles[0]!.contents).toString("base64")}`;
  return (await import(/* @vite-ignore */ url)) as Example;
}

test("the example trains a classifier that is right", async () => {
  const { trainClassifier } = await exampleOf<ClassifierExample>("trainClassifier");
  const { device, adapter, idle } = await testDevice();
  const engine = await Engine.create({ device, adapter, idle });
  const data = { epoch: () => [{ sequence: { inputIds: [1] }, labels: { label: 0 } }] };
  const begin = await Trainer.create(engine, tinyFolder(), data, {
    objectives: ["label"],
    fromScratch: true,
    epochs: 1,
  });
  const folder = folderOf(await filesOf(begin.model()));
  begin.dispose();
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  const files = await trainClassifier(engine, folder);
  expect(log.mock.calls.at(-1)).toEqual([{ accuracy: 1 }]);
  log.mockRestore();
  const whole = [...files].map(([path, slices]) => [path, new Uint8Array(Buffer.concat(slices))]);
  const model = await BertModel.load(engine, folderOf(Object.fromEntries(whole)));
  expect(model.config.labels).toEqual(["bad", "good"]);
  engine.dispose();
});

interface TokenizerExample {
  vocabularyOf(texts: AsyncIterable<string>, signal: AbortSignal): Promise<readonly string[]>;
}

test("the example of a tokenizer has the words of its texts", async () => {
  const { vocabularyOf } = await exampleOf<TokenizerExample>("vocabularyOf");
  const texts = (async function* () {
    yield* ["A fine film", "a fine day"];
  })();
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  const vocabulary = await vocabularyOf(texts, new AbortController().signal);
  expect(log.mock.calls.map(([name]) => name)).toEqual(["vocab.txt", "tokenizer.json", "tokenizer_config.json"]);
  log.mockRestore();
  expect(vocabulary).toEqual(expect.arrayContaining(["[MASK]", "A", "a", "fine"]));
});
