/** That an engine told to choose kernels as for another GPU launches those, and gets the same results from them. */

import { beforeAll, describe, expect, test } from "vitest";
import type { Sequence } from "../src/bert/batch.ts";
import { BertModel } from "../src/bert/model.ts";
import type { Scalar } from "../src/kernels/kernel.ts";
import { traitsOf } from "../src/runtime/device.ts";
import { Engine, type OtherTraits } from "../src/runtime/engine.ts";
import { tinyModel } from "./bert/tiny.ts";
import { hasF16, testDevice } from "./device.ts";
import { DEVICE_KINDS } from "./device_kinds.ts";
import { countLaunches } from "./launches.ts";
import { random } from "./support.ts";

const next = random(5);
const sequence = (length: number): Sequence => ({
  inputIds: Array.from({ length }, () => Math.floor(next() * 50)),
});
const SHORT = [sequence(5)];
/** 12,288 tokens: enough for the largest tiles to fill a GPU. */
const LONG = Array.from({ length: 192 }, () => sequence(64));

const opened = await testDevice();
const units = traitsOf(opened.device, opened.adapter);
const multiplies = (dtype: Scalar): boolean =>
  !!units.matrixUnits?.some(({ componentType, resultType }) => componentType === dtype && resultType === "f32");
const without = (dtype: Scalar): string => (multiplies(dtype) ? "" : ` (skipped: it has none for ${dtype})`);

async function run(dtype: "f32" | "f16", traits?: OtherTraits) {
  const { device, adapter, idle } = await testDevice();
  const engine = await Engine.create({ device, adapter, idle, traits });
  try {
    const { counts } = countLaunches(engine);
    const model = await BertModel.load(engine, tinyModel(), { dtype });
    const values: Float32Array[] = [];
    for (const batch of [SHORT, LONG]) {
      const { lastHiddenState, logits } = await model.forward(batch, { lastHiddenState: true, logits: true });
      values.push(lastHiddenState!.data, logits!.data);
    }
    return { values: values.flatMap((data) => Array.from(data)), names: [...counts.keys()], traits: engine.traits };
  } finally {
    engine.dispose();
  }
}

describe.each(["f32", "f16"] as const)("a whole BERT in %s", (dtype) => {
  let own: Awaited<ReturnType<typeof run>> | undefined;
  beforeAll(async () => {
    if (dtype === "f32" || hasF16((await testDevice()).device)) own = await run(dtype);
  });

  test.for([
    ["nvidia", "128x128"],
    ["apple", "64x64"],
    ["intel", "64x64"],
  ] as const)("runs on the kernels of a GPU of %s", async ([kind, tile], { skip }) => {
    if (own === undefined) return skip("the device has no shader-f16");
    const other = await run(dtype, DEVICE_KINDS[kind]);
    for (const name of [
      `matmul_workgroup ${tile}`,
      "matmul_split_k",
      "layernorm by workgroup",
      "embed_layernorm by workgroup",
      "attention",
    ]) {
      expect(other.names).toContain(name);
    }
    expect(other.names.filter((name) => / by thread|broadcast|^matmul(_unaligned)?$/.test(name))).toEqual([]);
    const { limits } = (await testDevice()).device;
    expect(other.traits).toEqual({ ...DEVICE_KINDS[kind], limits });
    expectNear(other.values, own.values);
  });

  test.skipIf(!multiplies(dtype))(`runs on the adapter's own matrix units${without(dtype)}`, async () => {
    const { limits: _, ...traits } = units;
    const other = await run(dtype, { ...traits, software: false });
    expect(other.names).toContain("matmul_subgroup");
    expect(other.names.filter((name) => name.startsWith("matmul_workgroup"))).toEqual([]);
    expectNear(other.values, own!.values);
  });

  function expectNear(values: readonly number[], own: readonly number[]): void {
    expect(values.length).toBe(own.length);
    const bound = dtype === "f32" ? 1e-5 : 2e-2; // values up to 3 after a layer norm; f16 rounds to 2^-10 of them
    const largest = values.reduce((most, value, i) => Math.max(most, Math.abs(value - own[i]!)), 0);
    expect(largest).toBeLessThan(bound);
  }
});
