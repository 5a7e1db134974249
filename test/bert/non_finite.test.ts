/** Outputs that are not finite numbers: an error that names the first, for the input concerned and for no other. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BertModel } from "../../src/bert/model.ts";
import { NonFiniteError } from "../../src/bert/non_finite.ts";
import type { Plan } from "../../src/bert/tasks/plan.ts";
import { runPlan, streamPlan } from "../../src/bert/tasks/stream.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { testDevice } from "../device.ts";
import { TINY, tinyModel } from "./tiny.ts";

/** The word that is NaN in the table. */
const BAD = 7;
const GOOD = { inputIds: [1, 2, 3] };
const WORSE = { inputIds: [1, 2, BAD] };

let engine: Engine;
let model: BertModel;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  engine = await Engine.create({ device, adapter, idle });
  model = await BertModel.load(engine, tinyModel({}, undefined, poisoned));
});
afterAll(() => engine.dispose());

function poisoned(name: string, values: Float32Array): void {
  if (name === "bert.embeddings.word_embeddings.weight") values[BAD * TINY.hidden_size] = Number.NaN;
}

describe("forward", () => {
  test("names the first bad element, its value and the remedy", async () => {
    const forward = model.forward([GOOD, WORSE], { logits: true, lastHiddenState: true });
    await expect(forward).rejects.toBeInstanceOf(NonFiniteError);
    await expect(forward).rejects.toThrow(
      /^lastHiddenState\[3, 0\] is NaN: bad weights, or beyond f16; .*checkFinite: false$/,
    );
    await expect(model.forward([GOOD, WORSE], { logits: true })).rejects.toThrow(/^logits\[1, 0\] is NaN/);
    await expect(model.forward([GOOD, WORSE], { attentions: true })).rejects.toThrow(/^attentions\.0\[18\] is NaN/);
    await expect(model.forward([WORSE], { hiddenStates: true })).rejects.toThrow(/^hiddenStates\.0\[2, 0\] is NaN/);
  });

  test("gives them as they are where that is asked, and where all is finite", async () => {
    const { logits } = await model.forward([GOOD, WORSE], { logits: true }, { checkFinite: false });
    expect([...logits!.data].map(Number.isFinite)).toEqual([true, true, false, false]);
    const { logits: alone } = await model.forward([GOOD], { logits: true });
    expect(alone!.data).toEqual(logits!.data.slice(0, 2));
  });
});

describe("streams", () => {
  const plan: Plan<number[], number> = {
    wanted: { logits: true },
    prepare: (inputIds) => ({ sequences: [{ inputIds }], finish: ([output]) => output!.logits![0]! }),
  };
  const inputs = [[1, 2], [3], [BAD, 1], [4, 5, 6]];

  test("end at the input concerned, after the results before it", async () => {
    const results: number[] = [];
    const read = async (): Promise<void> => {
      for await (const result of streamPlan(model, plan, inputs)) results.push(result);
    };
    await expect(read()).rejects.toThrow(/^logits\[0\] is NaN/);
    expect(results).toHaveLength(2);
    expect(results.every(Number.isFinite)).toBe(true);
  });

  test("go on where the plan says what stands for it", async () => {
    const lenient: Plan<number[], number | string> = {
      ...plan,
      prepare: (inputIds, i) => ({ ...plan.prepare(inputIds, i), fail: ({ name }) => name }),
    };
    const results = await runPlan(model, lenient, inputs);
    expect(results.map((result) => typeof result)).toEqual(["number", "number", "string", "number"]);
    expect(results[2]).toBe("NonFiniteError");
  });

  test("give what is not finite where that is asked", async () => {
    const results = await runPlan(model, plan, inputs, { checkFinite: false });
    expect(results.map(Number.isFinite)).toEqual([true, true, false, true]);
  });
});
