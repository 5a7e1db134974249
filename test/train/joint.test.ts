/** One encoder for two objectives, whose examples are labelled for one of them: each learns of its own examples alone. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/runtime/engine.ts";
import type { ObjectiveName } from "../../src/train/objectives.ts";
import { readStored } from "../../src/train/read.ts";
import type { Example } from "../../src/train/step.ts";
import { testDevice } from "../device.ts";
import { smallBatch, smallTraining } from "./small.ts";

let engine: Engine;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  engine = await Engine.create({ device, adapter, idle });
});
afterAll(() => engine.dispose());

const BOTH: readonly ObjectiveName[] = ["mlm", "label"];
const masked = smallBatch(2).map(({ sequence, labels }) => ({ sequence, labels: { ...labels, label: -100 } }));
const labelled = smallBatch(5).map(({ sequence, labels }) => ({
  sequence,
  labels: { ...labels, words: new Int32Array(sequence.inputIds.length).fill(-100) },
}));

async function gradientsOf(
  objectives: readonly ObjectiveName[],
  batch: readonly Example[],
): Promise<Map<string, Float32Array>> {
  const small = await smallTraining(engine, objectives);
  await small.steps.gradients(batch);
  const all = new Map<string, Float32Array>();
  for await (const [name, values] of readStored(engine, small.flat, "gradients")) all.set(name, values.slice());
  small.dispose();
  return all;
}

const HEAD = { words: /^cls\.predictions\./, label: /^(pooler|classifier)\./ };

/** Sums of a few hundred terms, in another order. Those of a key's bias, which changes nothing, are rounding alone. */
function expectClose(got: Float32Array, want: Float32Array, name: string): void {
  const most = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const error = got.reduce((error, value, i) => Math.max(error, Math.abs(value - want[i]!)), 0);
  expect(error, `${name}, at most ${most}`).toBeLessThanOrEqual(1e-5 * most + 1e-8);
}

describe("masked words and labels", () => {
  let [ofWords, ofLabels]: Map<string, Float32Array>[] = [];
  beforeAll(async () => {
    ofWords = await gradientsOf(["mlm"], masked);
    ofLabels = await gradientsOf(["label"], labelled);
    expect([...ofWords.keys()].some((name) => HEAD.words.test(name))).toBe(true);
    expect([...ofLabels.keys()].some((name) => HEAD.label.test(name))).toBe(true);
  });

  test("of a batch with both kinds, gradients are the sum of those of each alone", async () => {
    const both = await gradientsOf(BOTH, [...masked, ...labelled]);
    for (const [name, values] of both) {
      const [a, b] = [ofWords!.get(name), ofLabels!.get(name)];
      const sum = values.map((_, i) => (a?.[i] ?? 0) + (b?.[i] ?? 0));
      expectClose(values, sum, name);
    }
  });

  test.for([
    ["masked", masked, "label"],
    ["labelled", labelled, "words"],
  ] as const)("of a batch that is %s alone, they are those of its objective", async ([, batch, other]) => {
    const own = other === "label" ? ofWords! : ofLabels!;
    const both = await gradientsOf(BOTH, batch);
    for (const [name, values] of both) {
      if (HEAD[other].test(name))
        expect(
          values.every((value) => value === 0),
          name,
        ).toBe(true);
      else expectClose(values, own.get(name)!, name);
    }
  });
});
