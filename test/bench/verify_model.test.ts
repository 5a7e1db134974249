/** How a model in int8 is verified before it is timed, and what is told before it is loaded. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { encodeOnCpu } from "../../bench/encoder_reference.ts";
import { benchModel, type ModelTask, requirePositions } from "../../bench/model.ts";
import { randomModel } from "../../bench/random_model.ts";
import type { ModelRow } from "../../bench/rows.ts";
import { verifyModel } from "../../bench/verify_model.ts";
import { denseBatch } from "../../bench/workloads.ts";
import { BertModel } from "../../src/bert/model.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { testDevice } from "../device.ts";

const SHAPE = { layers: 2, hidden: 64, heads: 2, intermediate: 96, vocab: 300, positions: 128 };
const folder = randomModel("tiny", SHAPE);
const task: ModelTask = { name: "tiny", folder, dtype: "q8" };

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
});
afterAll(() => engine.dispose());

test("a model in q8 is held against float64 on the same int8, timed, and its rows say q8", async () => {
  const rows: ModelRow[] = [];
  const failures: string[] = [];
  await benchModel(engine, task, [{ batch: 2, tokens: 9 }], {
    budget: 20,
    ceilings: [],
    onRow: (row) => void rows.push(row),
    onProgress: () => {},
    onFailure: (name, error) => void failures.push(`${name}: ${error.message}`),
  });
  expect(failures).toEqual([]);
  expect(rows).toMatchObject([{ model: "tiny q8", batch: "2 x 9", dtype: "f32" }]);
  const { how, error, bound } = rows[0]!.check;
  const told =
    /^all finite; 9 tokens within \S+ of float64 on the same int8, which moves it by (\S+); rows 0, 1 the same alone$/;
  const moved = Number(told.exec(how)?.[1]);
  expect(Math.abs(bound - 2 * moved)).toBeLessThan(0.1 * moved); // it is told in two digits
  expect(error).toBeLessThanOrEqual(bound);
  expect(bound).toBeLessThan(0.05);
});

test("one with other weights is refused", async () => {
  const model = await BertModel.load(engine, folder, { dtype: "q8" });
  const other = randomModel("other", SHAPE, 2);
  await expect(verifyModel(model, other, "q8", denseBatch(1, 9, 300), new Map())).rejects.toThrow(
    /^9 tokens are off float64 on the same int8, which moves it by \S+ by \S+ of the largest value, allowed is 0\.0/,
  );
  model.dispose();
});

test("the float64 of int8 is another one than that of f32, by what int8 rounds away", async () => {
  const sequence = denseBatch(1, 9, 300).sequences[0]!;
  const [plain, int8] = [await encodeOnCpu(folder, sequence), await encodeOnCpu(folder, sequence, true)];
  const largest = plain.reduce((most, value, i) => Math.max(most, Math.abs(value - int8[i]!)), 0);
  expect(largest).toBeGreaterThan(1e-4);
  expect(largest).toBeLessThan(0.1);
});

test("sequences longer than the positions are told without a device", async () => {
  await requirePositions(task, [{ batch: 1, tokens: 128 }]);
  await expect(requirePositions(task, [{ batch: 1, tokens: 129 }])).rejects.toThrow(
    "--tokens 129: tiny has 128 positions; give --tokens 128 at most",
  );
  await expect(requirePositions(task, ["ragged"])).rejects.toThrow("--ragged has a text of 256 tokens: tiny has 128");
});
