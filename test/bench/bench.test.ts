/** The bench end to end, on kernels and models so small that it takes seconds. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CopyTime, copyTimes, measureCeilings } from "../../bench/ceilings.ts";
import { shapedTasks, typicalTasks } from "../../bench/kernel_cases.ts";
import { kernelTask, verify } from "../../bench/kernels.ts";
import { originOf } from "../../bench/machine.ts";
import { benchModel } from "../../bench/model.ts";
import { randomModel } from "../../bench/random_model.ts";
import { openReport, parseRows } from "../../bench/report.ts";
import type { CeilingRow, KernelRow, ModelRow, Row } from "../../bench/rows.ts";
import { unguarded } from "../../bench/sized_cases.ts";
import * as kernels from "../../src/kernels/index.ts";
import { layernorm } from "../../src/kernels/rows/layernorm.ts";
import { claimOutput } from "../../src/node/data/claim.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { layernormCases, matmulCases } from "../cases.ts";
import { hasF16, testDevice } from "../device.ts";

let engine: Engine;
let ceilings: CeilingRow[];
let copyTime: CopyTime;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
  ceilings = await measureCeilings(engine, 50);
  copyTime = copyTimes(engine, 20);
});
afterAll(() => engine.dispose());

/** What a bench reports. */
function collector<R>() {
  const rows: R[] = [];
  const failures: string[] = [];
  const options = {
    budget: 20,
    ceilings,
    copyTime,
    onRow: (row: R) => void rows.push(row),
    onProgress: () => {},
    onFailure: (name: string, error: Error) => void failures.push(`${name}: ${error.message}`),
  };
  return { rows, failures, options };
}

test("ceilings are positive, and their buffers are gone", () => {
  expect(ceilings.map(({ name, perSecond }) => [name, perSecond > 0])).toEqual([
    ["arithmetic", true],
    ["memory", true],
  ]);
  expect(engine.memoryUse.buffers).toBe(0);
});

test("a copy is timed once for each number of bytes, by one clock, where it fits", async () => {
  const times = await Promise.all(["gpu" as const, "wall" as const].map((clock) => copyTime(1 << 22, clock)));
  expect(times.filter((ms) => ms !== undefined && ms > 0)).toHaveLength(1);
  expect(await Promise.all(["gpu" as const, "wall" as const].map((clock) => copyTime(1 << 22, clock)))).toEqual(times);
  expect(await copyTime(4 * engine.device.limits.maxStorageBufferBindingSize, "gpu")).toBeUndefined();
});

describe("kernels", () => {
  test("are verified, then timed", async () => {
    const { rows, failures, options } = collector<KernelRow>();
    const tasks = [...shapedTasks([16, 24], engine.traits), ...shapedTasks([12, 4, 16], engine.traits)];
    const few = (name: string): boolean => !/unaligned|split_k|q8/.test(name); // every one is a shader to compile
    for (const task of tasks) await task.measure(engine, few, "f32", options);
    expect(failures).toEqual([]);
    const names = rows.map(({ kernel, variant, shape }) => `${kernel} ${variant} ${shape}`);
    expect(rows.length).toBe(tasks.flatMap(({ kernels }) => kernels.filter(few)).length);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(
      expect.arrayContaining(["layernorm  16x24", "matmul_naive  12x4x16", "matmul  12x4x16", "attention  12x4x16"]),
    );
    expect(
      rows.filter(({ chosen }) => chosen).map(({ kernel }) => kernel.replace(/_broadcast|_workgroup.*/, "")),
    ).toEqual(
      "embed_layernorm layernorm pool l2_normalize gather_rows softmax top_k non_finite matmul attention attention_probs".split(
        " ",
      ),
    );
    for (const { timing, bytes, bytesPerSecond, copyMs, share, check, flops, kernel } of rows) {
      expect(timing.repeats).toBeGreaterThanOrEqual(3);
      expect(Math.min(timing.min, timing.p50, timing.p90, bytes, bytesPerSecond, share)).toBeGreaterThan(0);
      expect(flops > 0).toBe(/matmul|attention/.test(kernel));
      expect(check.how).toMatch(/^all \d+, (exact|(relative )?error \S+ of \S+ allowed)$/);
      if (/matmul/.test(kernel)) expect(copyMs).toBeUndefined();
      expect(check.error).toBeLessThanOrEqual(check.bound);
    }
  });

  test("that move bytes stand beside a copy of as many, matmuls do not", async () => {
    const { rows, failures, options } = collector<KernelRow>();
    const asked: (number | string)[] = [];
    const copyTime: CopyTime = async (bytes, clock) => {
      asked.push(bytes, clock);
      return 7;
    };
    const few = (name: string): boolean => /^(softmax|attention|matmul_naive)$/.test(name);
    for (const task of [...shapedTasks([16, 24], engine.traits), ...shapedTasks([12, 4, 16], engine.traits)]) {
      await task.measure(engine, few, "f32", { ...options, copyTime });
    }
    expect(failures).toEqual([]);
    const beside = rows.filter(({ copyMs }) => copyMs === 7);
    expect(new Set(beside.map(({ kernel }) => kernel))).toEqual(new Set(["softmax", "attention"]));
    expect(asked).toEqual(beside.flatMap(({ bytes, timing }) => [bytes, timing.clock]));
    expect(rows.find(({ kernel }) => kernel === "matmul_naive")).not.toHaveProperty("copyMs");
  });

  test("with int8 weights take a shape, and their outputs alone are counted", async () => {
    const { rows, failures, options } = collector<KernelRow>();
    const [, q8] = shapedTasks([5, 6, 7], engine.traits);
    await q8!.measure(engine, () => true, "f32", options);
    expect(failures).toEqual([]);
    expect(rows).toMatchObject([{ kernel: "matmul_q8", shape: "5x6x7", flops: 2 * 5 * 6 * 7, chosen: true }]);
    expect(rows[0]!.check.how).toMatch(/^all 30, /);
    const guarded = matmulCases.typical[0]!;
    expect([guarded.outputs.out, unguarded(guarded).outputs.out]).toEqual([128 * 2304 + 3, 128 * 2304]);
  });

  test("that the device has for the other type alone are told, not passed over", async () => {
    const { rows, failures, options } = collector<KernelRow>();
    const of = layernormCases.cases[0]!;
    const named = { ...layernorm, name: "halves" };
    const task = kernelTask(
      { ...layernormCases, operation: "layernorm", kernels: ({ dtype }) => (dtype === "f16" ? [named] : [layernorm]) },
      of,
    );
    expect(task.kernels).toEqual(["layernorm", "halves"]);
    await task.measure(engine, (name) => name === "halves", "f32", options);
    await task.measure(engine, (name) => name === "neither", "f32", options);
    expect(rows).toEqual([]);
    expect(failures).toEqual(["halves f32: this device has it for f16 alone: ask for --dtype f16"]);
  });

  test("run in f16 where the adapter has it", async (context) => {
    if (!hasF16(engine.device)) return context.skip("no shader-f16");
    const { rows, failures, options } = collector<KernelRow>();
    for (const task of shapedTasks([5, 8], engine.traits)) await task.measure(engine, () => true, "f16", options);
    expect(failures).toEqual([]);
    expect(rows.every(({ dtype }) => dtype === "f16")).toBe(true);
    const bytes = Object.fromEntries(rows.map(({ kernel, bytes }) => [kernel, bytes]));
    const matrix = 5 * 8 * 2;
    const once = {
      embed_layernorm: 5 * 16 + 3 * matrix + 2 * 16 + 2 * 16, // ids; words, places, out; two types; gamma and beta
      layernorm: 3 * matrix + 2 * 16,
      activation: 2 * matrix + 16,
      pool: matrix + 2 * 4 + 5 * 16 + 16,
      l2_normalize: 2 * matrix,
      gather_rows: 2 * matrix + 5 * 4,
      softmax: 2 * matrix,
      top_k: matrix + 2 * 5 * 5 * 4,
      non_finite: matrix + 4, // one block
    };
    const reduced = (["embed_layernorm", "layernorm", "l2_normalize", "softmax"] as const).map((name) => [
      `${name}_subgroup`,
      once[name],
    ]);
    expect(bytes).toEqual({ ...once, ...(engine.traits.subgroupIds && Object.fromEntries(reduced)) });
  });

  test("that compute wrongly are not timed", async () => {
    const { rows, failures, options } = collector<KernelRow>();
    const wrong = kernelTask(
      {
        ...layernormCases,
        operation: "layernorm",
        reference: (shape, inputs) => {
          const { out } = layernormCases.reference(shape, inputs);
          out![3]! += 1e-3;
          return { out: out! };
        },
      },
      layernormCases.cases[8]!,
    );
    await wrong.measure(engine, () => true, "f32", options);
    expect(rows).toEqual([]);
    expect(failures).toHaveLength(layernormCases.kernels({ ...layernormCases.cases[8]!.shape, dtype: "f32" }).length);
    for (const failure of failures) {
      expect(failure).toMatch(/^layernorm .* f32: out\[3\] is .*: off by 1\.0e-3, allowed is/);
    }
  });

  test("are all among the typical cases", () => {
    for (const software of [true, false]) {
      const tasks = typicalTasks({ limits: engine.device.limits, software, subgroupSize: 8 });
      const names = new Set(tasks.flatMap(({ kernels }) => kernels));
      const known = Object.values(kernels).flatMap((value) => (isKernel(value) ? [value.name] : []));
      // those of training are measured together, as a step; those of decoding, whose inputs depend on each other, are not
      expect(known.filter((name) => !names.has(name) && !TRAINING.test(name) && !DECODING.test(name))).toEqual([]);
    }
  });
});

const TRAINING =
  /backward|training|dropout|column_sums|cross_entropy|squared_error|span_loss|row_dots|cosent|triplet|copy_blocks|keep_blocks|segment_sums|spread_rows|embedding_sums|sum_squares|optimizer_step|adamw/;

const DECODING = /^(step_tokens|cached_attention|source_attention|token_rules|sample_keys|choose_tokens|choose_beams)$/;

function isKernel(value: unknown): value is { readonly name: string } {
  return typeof value === "object" && value !== null && "plan" in value && "source" in value;
}

describe("verify", () => {
  const bound = { absolute: 0.1, relative: 0 };

  test("takes any finite value where the CPU has none", () => {
    const { how } = verify({ out: [1, 5, 2.05] }, { out: [1, Number.NaN, 2] }, bound);
    expect(how).toBe("2 of 3 and the rest finite, error 5.0e-2 of 1.0e-1 allowed");
  });

  test("tells an error in the unit that bounds it", () => {
    const relative = { absolute: 1e-30, relative: 1e-3 };
    expect(verify({ out: [1.0005e-9, 4] }, { out: [1e-9, 4] }, relative)).toMatchObject({
      how: "all 2, relative error 5.0e-4 of 1.0e-3 allowed",
      bound: expect.closeTo(1e-12, 18),
    });
    const { how } = verify({ out: [0.001, 2.05] }, { out: [0, 2] }, { absolute: 0.1, relative: 0.01 });
    expect(how).toBe("all 2, error 5.0e-2 of 1.2e-1 allowed");
    expect(() => verify({ out: [2e-9] }, { out: [1e-9] }, relative)).toThrow("off by 1.0e-9, allowed is 1.0e-12");
  });

  test("refuses what is not finite, also there", () => {
    expect(() => verify({ out: [Number.NaN] }, { out: [1] }, bound)).toThrow("out[0] is NaN, it must be 1");
    expect(() => verify({ out: [Number.POSITIVE_INFINITY] }, { out: [Number.NaN] }, bound)).toThrow("must be finite");
    expect(() => verify({ out: [] }, { out: [1] }, bound)).toThrow("out[0] is undefined");
  });
});

describe("models", () => {
  const folder = randomModel("tiny", { layers: 2, hidden: 32, heads: 2, intermediate: 64, vocab: 300, positions: 256 });

  test("are verified, then timed: one sequence, several, and a ragged batch beside an even one", async () => {
    const { rows, failures, options } = collector<ModelRow>();
    const batches = [{ batch: 1, tokens: 9 }, { batch: 3, tokens: 5 }, "ragged"] as const;
    await benchModel(engine, { name: "tiny", folder, dtype: "f32" }, batches, options);
    expect(failures).toEqual([]);
    expect(rows.map(({ batch }) => batch)).toEqual(["1 x 9", "3 x 5", "ragged 33", "even 33"]);
    const [single, several, ragged, even] = rows as [ModelRow, ModelRow, ModelRow, ModelRow];
    // 2 layers of 2 * 9 * (4 * 32 * 32 + 2 * 32 * 64) + 4 * 9^2 * 32
    expect(single.flops).toBe(2 * (2 * 9 * (4096 + 4096) + 4 * 81 * 32));
    expect(single.check.how).toMatch(/9 tokens within .* of float64; the same in a batch/);
    expect(several.check.how).toMatch(/rows 0, 2 the same alone/);
    expect([ragged.tokens, ragged.sequences]).toEqual([even.tokens, even.sequences]);
    expect(ragged.overEven).toBeGreaterThan(0);
    for (const row of rows) {
      const { timing, sequencesPerSecond, firstRun, load, dispatches, gpuBytes, peakMemory } = row;
      const numbers = [timing.p50, sequencesPerSecond, firstRun, load, dispatches, gpuBytes, peakMemory, row.share];
      expect(Math.min(...numbers)).toBeGreaterThan(0);
      expect(gpuBytes).toBeGreaterThan(row.weightBytes);
      if (engine.device.features.has("timestamp-query")) expect(row.gpu!.ms).toBeGreaterThan(0);
    }
    expect(engine.memoryUse.buffers).toBe(0);
  });

  test("that cannot take a batch are reported, and the others measured", async () => {
    const { rows, failures, options } = collector<ModelRow>();
    const batches = [
      { batch: 1, tokens: 300 },
      { batch: 1, tokens: 3 },
    ];
    await benchModel(engine, { name: "tiny", folder, dtype: "f32" }, batches, options);
    expect(failures).toEqual([expect.stringContaining("tiny, 1 x 300: sequence 0: positionIds[256]")]);
    expect(rows.map(({ batch }) => batch)).toEqual(["1 x 3"]);
  });
});

describe("results", () => {
  const rowsOf = async (): Promise<Row[]> => {
    const { rows, options } = collector<KernelRow>();
    const task = shapedTasks([2, 8], engine.traits)[1];
    await task!.measure(engine, () => true, "f32", options);
    return [await originOf(engine.adapter, false), ...ceilings, ...rows];
  };

  test("are written as JSON to a file, with machine, adapter, driver, commit and date", async () => {
    const folder = await mkdtemp(join(tmpdir(), "bench-"));
    try {
      const file = join(folder, "a.json");
      const lines: string[] = [];
      const report = openReport(await claimOutput(file), (line) => lines.push(line), true);
      const rows = await rowsOf();
      for (const row of rows) report.add(row);
      await report.finish();
      await report.finish();
      const read = parseRows(await readFile(file, "utf8"), file);
      expect(read).toEqual(rows);
      expect(read[0]).toMatchObject({
        type: "origin",
        date: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
        commit: expect.stringMatching(/./),
        machine: { cores: expect.any(Number), cpu: expect.any(String), node: process.version },
        adapter: { name: engine.adapter.name, software: expect.any(Boolean) },
        driver: expect.any(String),
      });
      expect(lines.join("\n")).toMatch(/kernel +shape +type +clock +p50 ms .*\nlayernorm (by thread )?\* +2x8 +f32/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("are JSON Lines on stdout in place of the tables", async () => {
    const lines: string[] = [];
    const report = openReport(true, (line) => lines.push(line));
    const rows = await rowsOf();
    for (const row of rows) report.add(row);
    await report.finish();
    expect(parseRows(lines.join("\n"), "stdout")).toEqual(rows);
  });

  test("that are not results are refused", () => {
    expect(() => parseRows("{}", "x.json")).toThrow("x.json holds no results of bench --json");
    expect(() => parseRows("not JSON", "x.json")).toThrow("x.json holds no results of bench --json");
  });
});
