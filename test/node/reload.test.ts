/** A model after its device was lost: loaded again when it is the same, refused when it is not. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { BertModel } from "../../src/bert/model.ts";
import type { Folder } from "../../src/files/bytes.ts";
import { openCheckpoint } from "../../src/files/checkpoint.ts";
import { createEngine } from "../../src/node/index.ts";
import type { Engine } from "../../src/runtime/engine.ts";
import { tinyModel } from "../bert/tiny.ts";

const SEQUENCES = [{ inputIds: [2, 5, 7, 3] }];

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ adapter: process.env.BERT_WEBGPU_ADAPTER || "auto" });
});
afterAll(() => engine.dispose());

async function lose(): Promise<void> {
  const { device } = engine;
  device.destroy();
  await device.lost;
}

test("weights of the same shapes that have changed meanwhile are refused, the same ones are not", async () => {
  const before = tinyModel();
  const checkpoint = await openCheckpoint(before);
  const changed = checkpoint.tensors.get("classifier.bias")!.begin; // one value of 2, in the smallest tensor
  await checkpoint.close();
  let edited = false;
  const folder: Folder = {
    name: "tiny",
    async open(path) {
      const source = await before.open(path);
      if (!source || !edited || path !== "model.safetensors") return source;
      return {
        ...source,
        async read(offset, length) {
          const bytes = Uint8Array.from(await source.read(offset, length));
          if (changed >= offset && changed < offset + length) bytes[changed - offset]! ^= 1;
          return bytes;
        },
      };
    },
  };
  const model = await BertModel.load(engine, folder);
  const [first] = [await model.forward(SEQUENCES, { logits: true })];
  await lose();
  const again = await model.forward(SEQUENCES, { logits: true });
  expect([...again.logits!.data]).toEqual([...first!.logits!.data]);
  edited = true;
  await lose();
  await expect(model.forward(SEQUENCES, { logits: true })).rejects.toThrow(
    "config.json or weights have changed since it was loaded; load it anew",
  );
  edited = false;
  expect([...(await model.forward(SEQUENCES, { logits: true })).logits!.data]).toEqual([...first!.logits!.data]);
  model.dispose();
});
