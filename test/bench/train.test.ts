/** `bench train` on a model so small that it takes seconds: what a row says, and that a wrong gradient is not timed. */

import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { compareRows } from "../../bench/compare.ts";
import { splitRuns } from "../../bench/html/runs.ts";
import { trainTable } from "../../bench/html/tables.ts";
import { openReport } from "../../bench/report.ts";
import type { TrainRow } from "../../bench/rows.ts";
import { benchTraining } from "../../bench/train.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { TrainingSteps } from "../../src/train/step.ts";
import { testDevice } from "../device.ts";

const TASK = {
  name: "tiny 2x32",
  shape: { layers: 2, hidden: 32, heads: 2, intermediate: 64, vocab: 300, positions: 64 },
  batch: 3,
  tokens: 9,
};
const OPTIONS = { budget: 50, onProgress: () => {}, watch: () => () => 0.25 };

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
});
afterAll(() => engine.dispose());
afterEach(() => void vi.restoreAllMocks());

test("a step is verified, then timed in turn with the forward pass; what it took is freed", async () => {
  const row = await benchTraining(engine, TASK, OPTIONS);
  expect(row).toMatchObject({
    type: "train",
    model: "tiny 2x32",
    batch: "3 x 9",
    dtype: "f32",
    sequences: 3,
    tokens: 27,
  });
  const { timing, forward, cpu, check, gpu } = row;
  for (const { clock, repeats, others } of [timing, forward]) {
    expect([clock, others]).toEqual(["wall", 0.25]);
    expect(repeats).toBeGreaterThanOrEqual(3);
  }
  expect(timing.repeats).toBe(forward.repeats);
  expect(row.ratio).toBe(timing.p50 / forward.p50);
  expect(row.leastRatio).toBe(timing.min / forward.min);
  expect(row.tokensPerSecond).toBeCloseTo(27e3 / timing.p50);
  expect(check.error).toBeLessThan(check.bound);
  expect(check.how).toMatch(/^loss within \S+, gradient in a random direction within \S+ of float64's differences$/);
  // both layers, what comes before and after them, and the optimizer's launches
  expect(row.layerDispatches).toBeGreaterThanOrEqual(15);
  expect(row.layerDispatches).toBeLessThanOrEqual(28);
  expect(row.dispatches).toBeGreaterThan(2 * row.layerDispatches + 5);
  if (engine.adapter.software) expect(cpu!.ratio).toBe(cpu!.step / cpu!.forward);
  else expect(cpu).toBeUndefined();
  if (engine.device.features.has("timestamp-query")) {
    expect(gpu!.kernels.reduce((sum, { calls }) => sum + calls, 0)).toBe(row.dispatches);
  }
  expect(engine.memoryUse.buffers).toBe(0);

  const lines: string[] = [];
  openReport(undefined, (line) => lines.push(line)).add(row);
  expect(lines[1]).toMatch(/^training +batch +p50 ms +forward +\/ forward +of min +of CPU +tokens\/s +a layer$/);
  expect(lines[2]).toMatch(/^tiny 2x32 +3 x 9 /);
  expect(Math.max(...lines.slice(1, 3).map(({ length }) => length))).toBeLessThanOrEqual(100);
  expect(trainTable(splitRuns([row]))).toContain('<td class="text">tiny 2x32</td>');
  const slower: TrainRow = { ...row, timing: { ...timing, p50: 9 * timing.p50, noise: 0.01 } };
  expect(compareRows([row], [slower])).toMatchObject([{ name: "training tiny 2x32, 3 x 9, f32", ratio: 9 }]);
});

test("a gradient that is wrong is told, not timed", async () => {
  const { gradients } = TrainingSteps.prototype;
  // those of other labels, in the place of the right ones
  vi.spyOn(TrainingSteps.prototype, "gradients").mockImplementation(function (this: TrainingSteps, batch) {
    return gradients.call(
      this,
      batch.map(({ sequence }) => ({ sequence, labels: { label: 1 } })),
    );
  });
  await expect(benchTraining(engine, TASK, OPTIONS)).rejects.toThrow(
    /^the step's loss is \S+, expected is \S+, allowed is a difference of \S+; .*the gradient in a random direction is /,
  );
  expect(engine.memoryUse.buffers).toBe(0);
});
