/** That no bit of a sequence depends on what it is batched with, where an engine is asked for that. */

import { describe, expect, test } from "vitest";
import type { Sequence } from "../../src/bert/batch.ts";
import { BertModel } from "../../src/bert/model.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { hasF16, testDevice } from "../device.ts";
import { DEVICE_KINDS } from "../device_kinds.ts";
import { random } from "../support.ts";
import { tinyModel } from "./tiny.ts";

const { device, adapter, idle } = await testDevice();
const WANTED = { lastHiddenState: true, logits: true, embedding: { pooling: "mean", normalize: true } } as const;
const BATCHES = 40;

function sequencesBy(next: () => number): Sequence[] {
  return Array.from({ length: 1 + Math.floor(next() * 12) }, () => {
    const length = 1 + Math.floor(next() * 40);
    const inputIds = Array.from({ length }, () => Math.floor(next() * 50));
    const masks = next() < 0.2;
    return masks
      ? { inputIds, attentionMask: inputIds.map((_, i) => (i === 0 || next() < 0.8 ? 1 : 0)) }
      : { inputIds };
  });
}

/** In how many batches a sequence differs from the same one alone. */
async function differing(engine: Engine, sizes: object, dtype: "f32" | "f16"): Promise<number> {
  const model = await BertModel.load(engine, tinyModel({ num_hidden_layers: 2, ...sizes }), { dtype });
  const next = random(5);
  let count = 0;
  for (let i = 0; i < BATCHES; i++) {
    const batch = sequencesBy(next);
    const at = Math.floor(next() * batch.length);
    const [all, one] = await Promise.all([model.forward(batch, WANTED), model.forward([batch[at]!], WANTED)]);
    const [begin, end] = [all.cuSeqlens[at]!, all.cuSeqlens[at + 1]!];
    const same = (["lastHiddenState", "logits", "embedding"] as const).every((name) => {
      const { shape, data } = all[name]!;
      const [from, to] = name === "lastHiddenState" ? [begin, end] : [at, at + 1];
      return Buffer.from(data.slice(from * shape[1]!, to * shape[1]!).buffer).equals(
        Buffer.from(one[name]!.data.buffer),
      );
    });
    if (!same) count++;
  }
  model.dispose();
  return count;
}

const SIZES = {
  "sizes that divide by 4": { hidden_size: 32, intermediate_size: 64 },
  "sizes that do not": { hidden_size: 18, intermediate_size: 30 },
};

describe.each(Object.entries(SIZES))("%s", (_, sizes) => {
  test.each(hasF16(device) ? (["f32", "f16"] as const) : (["f32"] as const))("in %s", async (dtype) => {
    const engine = await Engine.create({ device, adapter, idle, batchInvariant: true });
    expect(await differing(engine, sizes, dtype)).toBe(0);
  });
});

test("the kernels that an engine chooses otherwise do differ", async () => {
  const engine = await Engine.create({ device, adapter, idle });
  expect(await differing(engine, SIZES["sizes that divide by 4"], "f32")).toBeGreaterThan(0);
});

test("with the choices for another kind of GPU", async () => {
  const engine = await Engine.create({ device, adapter, idle, traits: DEVICE_KINDS.intel, batchInvariant: true });
  expect(await differing(engine, SIZES["sizes that divide by 4"], "f32")).toBe(0);
});
