/** The memory that is told is that of whichever batches take the most. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { Engine } from "../../src/runtime/engine.ts";
import { batchesOf } from "../../src/train/batches.ts";
import type { TrainerOptions } from "../../src/train/options.ts";
import { planOf } from "../../src/train/run_plan.ts";
import type { Example } from "../../src/train/step.ts";
import { testDevice } from "../device.ts";
import { smallTraining } from "./small.ts";

let engine: Engine;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  engine = await Engine.create({ device, adapter, idle });
});
afterAll(() => engine.dispose());

/** So many tokens, of which so many are to be guessed. */
const exampleOf = (length: number, guessed: number): Example => ({
  sequence: { inputIds: Array.from({ length }, (_, i) => 5 + i) },
  labels: { label: length % 2, words: Array.from({ length }, (_, i) => (i < guessed ? 7 : -100)) },
});

test.for([
  // few long sequences have the most tokens, many short ones take more for what is kept of each sequence
  ["label", [...Array(8).fill([24, 0]), ...Array(95).fill([2, 0])]],
  // the batch of most tokens has little to guess
  ["mlm", [...Array(8).fill([24, 1]), ...Array(19).fill([10, 10])]],
] as const)("of %s: no batch takes more than is told", async ([objective, rows]) => {
  const examples = (rows as [number, number][]).map(([length, guessed]) => exampleOf(length, guessed));
  const options = { objectives: [objective], batchTokens: 192, epochs: 1 } satisfies TrainerOptions;
  const data = { epoch: () => examples };
  const { steps, dispose } = await smallTraining(engine, options.objectives);
  const { largest } = await planOf(data, options);
  const told = await steps.runBytes(largest);
  const tokens = (batch: readonly Example[]): number =>
    batch.reduce((sum, { sequence }) => sum + sequence.inputIds.length, 0);
  let longest: readonly Example[] = [];
  let most = 0;
  for await (const batch of batchesOf(examples, options)) {
    if (tokens(batch) > tokens(longest)) longest = batch;
    most = Math.max(most, await steps.runBytes([batch]));
  }
  expect(await steps.runBytes([longest])).toBeLessThan(most); // why tokens alone do not tell
  expect(told).toBeGreaterThanOrEqual(most);
  dispose();
});
