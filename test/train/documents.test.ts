/** The example of docs/training.md, run as it stands. */

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

interface Example {
  trainClassifier(engine: Engine, folder: Folder): Promise<Map<string, Uint8Array[]>>;
}

test("the example trains a classifier that is right", async () => {
  const text = readFileSync(join(ROOT, "docs/training.md"), "utf8");
  const [, contents] = /```ts\n(.*?)```/s.exec(text)!;
  const { outputFiles } = await build({
    stdin: { contents: contents!, resolveDir: ROOT, loader: "ts" },
    alias: { "bert-webgpu/train": join(ROOT, "src/train/index.ts"), "bert-webgpu": join(ROOT, "src/index.ts") },
    plugins: [wgslModules(ROOT)],
    bundle: true,
    write: false,
    format: "esm",
  });
  const url = `data:text/javascript;base64,${Buffer.from(outputFiles[0]!.contents).toString("base64")}`;
  const { trainClassifier } = (await import(/* @vite-ignore */ url)) as Example;
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
