/** Values that break a careless kernel: extremes, infinities, NaN, sums that f16 cannot hold. */
import { describe, expect, test } from "vitest";
import { attention, attentionBroadcastBy } from "../../src/kernels/attention/attention.ts";
import { attentionProbs } from "../../src/kernels/attention/attention_probs.ts";
import type { Kernel, Scalar } from "../../src/kernels/kernel.ts";
import { matmul, matmulNaive, matmulUnaligned } from "../../src/kernels/matmul/matmul.ts";
import * as reference from "../../src/kernels/reference/twins.ts";
import { type Activation, activation } from "../../src/kernels/rows/activation.ts";
import { type L2NormalizeShape, l2Normalize, l2NormalizeBy } from "../../src/kernels/rows/l2_normalize.ts";
import { layernorm, layernormBy } from "../../src/kernels/rows/layernorm.ts";
import { type SoftmaxShape, softmax, softmaxBy } from "../../src/kernels/rows/softmax.ts";
import { topK } from "../../src/kernels/rows/top_k.ts";
import { gatherRows } from "../../src/kernels/tokens/gather_rows.ts";
import { pool } from "../../src/kernels/tokens/pool.ts";
import { traitsOf } from "../../src/runtime/device.ts";
import { byEach, randomNumbers } from "../cases.ts";
import { hasF16, testDevice } from "../device.ts";
import { compare, quantize, runKernel } from "./harness.ts";

const { device, adapter } = await testDevice();
const traits = traitsOf(device, adapter);
const { subgroupIds, subgroupSize: subgroup } = traits;
const without = hasF16(device) ? "" : " (skipped: the adapter has no shader-f16)";
const testF16 = test.skipIf(without !== "");
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

/** By how a row is read and who takes it, and with how many columns. */
const softmaxes: readonly (readonly [how: string, kernel: Kernel<SoftmaxShape>, cols: number])[] = [
  ["one by one, by a workgroup", softmax, 3],
  ["one by one, by a thread", softmaxBy("thread"), 3],
  ["in fours, by a workgroup", softmax, 4],
  ["in fours, by a thread", softmaxBy("thread"), 20],
  ["in pairs, by a workgroup", softmaxBy("workgroup", "vec2"), 6],
  ["in pairs, by a thread", softmaxBy("thread", "vec2"), 14],
];
const throughSubgroups: typeof softmaxes = [
  ["one by one, through subgroups", softmaxBy("subgroups"), 3],
  ["in fours, through subgroups", softmaxBy("subgroups"), 1040],
  ["in pairs, through subgroups", softmaxBy("subgroups", "vec2"), 6],
];

describe.each([...softmaxes, ...(subgroupIds ? throughSubgroups : [])])("softmax %s", (_, kernel, cols) => {
  /** Rows of three, made longer by masked columns, which must come out as such. */
  async function run(rows: number[][], log: boolean = false): Promise<number[][]> {
    const x = rows.flatMap((row) => [...row, ...new Array(cols - 3).fill(-inf)]);
    const shape = { rows: rows.length, cols, dtype: "f32" as const, log };
    const { out } = await runKernel(device, kernel, shape, { x }, { out: x.length });
    return rows.map((row, i) => {
      const [wanted, masked] = [out!.subarray(i * cols, i * cols + 3), out!.subarray(i * cols + 3, (i + 1) * cols)];
      const spoilt = row.some((value) => Number.isNaN(value) || value === inf);
      expect([...masked]).toEqual(new Array(cols - 3).fill(spoilt ? nan : log ? -inf : 0));
      return [...wanted];
    });
  }

  test("of logits at 1e4", async () => {
    const rows = [
      [1e4, 1e4 - 1, -1e4],
      [-1e4, -1e4 - 2, -1e4 - 1],
      [3e38, -3e38, 0],
    ];
    const got = await run(rows);
    const { out } = reference.softmax({ rows: 3, cols: 3, dtype: "f32" }, { x: rows.flat() });
    compare("softmax", got.flat(), out!, { absolute: 1e-7, relative: 1e-6 });
  });

  test("of a wholly masked row is zeros, and its logarithm -infinity", async () => {
    const rows = [
      [-inf, -inf, -inf],
      [-inf, 1, -inf],
    ];
    expect(await run(rows)).toEqual([
      [0, 0, 0],
      [0, 1, 0],
    ]);
    expect(await run(rows, true)).toEqual([
      [-inf, -inf, -inf],
      [-inf, 0, -inf],
    ]);
  });

  test("of a row with NaN or infinity is NaN, and no other row is", async () => {
    const rows = [
      [0, nan, 1],
      [nan, nan, nan],
      [0, inf, 1],
      [-inf, nan, -inf],
      [5, 5, -inf],
    ];
    for (const log of [false, true]) {
      const got = await run(rows, log);
      expect(got.slice(0, 4).flat()).toEqual(new Array(12).fill(nan));
      expect(got[4]!.some(Number.isNaN)).toBe(false);
    }
  });
});

describe.each([attention, ...(subgroup === 4 || subgroup === 8 ? [attentionBroadcastBy(subgroup)] : [])])(
  "$name",
  (kernel) => {
    const shape = { tokens: 5, sequences: 2, heads: 1, headDim: 4, mask: true, dtype: "f32" as const };
    const lengths = { cu_seqlens: [0, 3, 5], cu_seqlens_k: [0, 3, 5] };
    const kept = (mask: number[]): number[] => mask.flatMap((keep) => [0, 0, 0, keep]);
    const values = randomNumbers(3).values(20);

    test("of a sequence whose keys are all masked is zeros", async () => {
      const inputs = { q: values, k: values, v: values, tokens: kept([0, 0, 0, 1, 0]), ...lengths };
      const { out } = await runKernel(device, kernel, shape, inputs, { out: 20 });
      expect([...out!.subarray(0, 12)]).toEqual(new Array(12).fill(0));
      compare("one key", out!.subarray(12), [...values.slice(12, 16), ...values.slice(12, 16)], {
        absolute: 1e-6,
        relative: 0,
      });
      const probs = { ...inputs, prob_offsets: [0, 9] };
      const got = await runKernel(device, attentionProbs, shape, probs, { out: 13 });
      expect([...got.out!]).toEqual([...new Array(9).fill(0), 1, 0, 1, 0]);
    });

    test("keeps a NaN in its own query", async () => {
      const q = Float64Array.from(values).fill(nan, 4, 5);
      const inputs = { q, k: values, v: values, tokens: kept([1, 1, 1, 1, 1]), ...lengths };
      const { out } = await runKernel(device, kernel, shape, inputs, { out: 20 });
      expect([...out!].map(Number.isNaN)).toEqual(Array.from({ length: 20 }, (_, i) => i >= 4 && i < 8));
    });

    test("passes a NaN key on to its whole sequence, unless it is masked", async () => {
      const k = Float64Array.from(values).fill(nan, 4, 8);
      const inputs = { q: values, k, v: values, tokens: kept([1, 1, 1, 1, 1]), ...lengths };
      const { out } = await runKernel(device, kernel, shape, inputs, { out: 20 });
      expect([...out!].map(Number.isNaN)).toEqual(Array.from({ length: 20 }, (_, i) => i < 12));
      const masked = { ...inputs, tokens: kept([1, 0, 1, 1, 1]) };
      const { out: without } = await runKernel(device, kernel, shape, masked, { out: 20 });
      expect([...without!].some(Number.isNaN)).toBe(false);
    });

    test("of scores at 1e4", async () => {
      const scaled = { ...shape, scale: 1e4 };
      const inputs = { q: values.map(Math.fround), k: values.map(Math.fround), v: values.map(Math.fround), ...lengths };
      const all = { ...inputs, tokens: kept([1, 1, 1, 1, 1]) };
      const { out } = await runKernel(device, kernel, scaled, all, { out: 20 });
      compare("attention", out!, reference.attention(scaled, all).out!, { absolute: 1e-3, relative: 0 });
    });
  },
);

describe("layernorm", () => {
  const cols = 768;
  const ones = new Float64Array(cols).fill(1);
  const zeros = new Float64Array(cols);

  async function run(
    x: ArrayLike<number>,
    dtype: Scalar = "f32",
    eps: number = 1e-12,
    kernel: typeof layernorm = layernorm,
  ): Promise<Float64Array> {
    const shape = { rows: x.length / cols, cols, eps, dtype, residual: false };
    return (await runKernel(device, kernel, shape, { x, gamma: ones, beta: zeros }, { out: x.length })).out!;
  }

  /** Holds two rows against the CPU twin, by each who may take them. */
  async function expectTwin(values: Float64Array): Promise<void> {
    const x = quantize(values, "f32");
    const shape = { rows: 2, cols, eps: 1e-12, dtype: "f32" as const, residual: false };
    const { out } = reference.layernorm(shape, { x, gamma: ones, beta: zeros });
    for (const kernel of byEach(traits, layernormBy)) {
      compare("layernorm", await run(x, "f32", 1e-12, kernel), out!, { absolute: 4e-6, relative: 1e-6 });
    }
  }

  test.each([1e4, -3e6, 0.3])("of noise about %d", async (mean) => {
    await expectTwin(
      randomNumbers(5)
        .values(2 * cols)
        .map((value) => value + mean),
    );
  });

  test.each([0, 1, cols - 1])("of noise with one element of 1e4, which is number %d", async (place) => {
    await expectTwin(
      randomNumbers(5)
        .values(2 * cols)
        .map((value, i) => (i % cols === place ? 1e4 : value)),
    );
  });

  test.each([0, 1, 0.1, 1234.567, -1e4, 1e-20])("of a constant row of %d is zeros", async (value) => {
    const got = await run(quantize(new Float64Array(cols).fill(value), "f32"));
    // What is left of the mean's rounding is divided by sqrt(eps) = 1e-6.
    compare("layernorm", got, zeros, { absolute: 1e-3, relative: 0 });
  });

  test("of a row with NaN or infinity is NaN", async () => {
    const x = new Float64Array(3 * cols).fill(0).map((_, i) => i % 7);
    x[5] = nan;
    x[cols + 700] = inf;
    const got = await run(x);
    expect(got.subarray(0, 2 * cols).every(Number.isNaN)).toBe(true);
    expect(got.subarray(2 * cols).some(Number.isNaN)).toBe(false);
  });

  testF16(`in f16 squares what f16 cannot${without}`, async () => {
    const x = quantize(randomNumbers(5).values(cols, 6e4), "f16");
    const want = reference.layernorm(
      { rows: 1, cols, eps: 1e-12, dtype: "f16", residual: false },
      { x, gamma: ones, beta: zeros },
    );
    compare("layernorm", await run(x, "f16"), want.out!, { absolute: 1e-5, relative: 2 ** -10 });
  });
});

describe("activations", () => {
  const names: Activation[] = ["none", "gelu", "gelu_tanh", "relu", "tanh", "silu", "erf"];

  async function run(name: Activation, x: ArrayLike<number>, dtype: Scalar = "f32"): Promise<Float64Array> {
    const shape = { rows: 1, cols: x.length, dtype, bias: false, activation: name };
    return (await runKernel(device, activation, shape, { x }, { out: x.length })).out!;
  }

  test.each(names)("%s of large arguments is finite and right, of NaN is NaN", async (name) => {
    const x = [100, -100, 1e4, -1e4, 1e12, -1e12, 88, -88, 40, -40, 0, 5];
    const got = await run(name, [...x, nan]);
    const want = x.map((value) => reference.activate(name, value));
    compare(name, got.subarray(0, x.length), want, { absolute: 1e-30, relative: 1e-6 });
    expect(got[x.length]).toBeNaN();
  });

  test.each(names)("%s of infinity", async (name) => {
    const got = await run(name, [inf]);
    expect(got[0]).toBe(name === "tanh" || name === "erf" ? 1 : inf);
  });

  test("gelu keeps its digits in the lower tail", async () => {
    const x = quantize(
      Float64Array.from({ length: 400 }, (_, i) => -i / 40),
      "f32",
    );
    // exp(-x^2 / 2) is as inexact as x^2 / 2, up to 50, rounds.
    compare(
      "gelu",
      await run("gelu", x),
      x.map((value) => reference.activate("gelu", value)),
      { absolute: 1e-37, relative: 8e-6 },
    );
  });

  test("erf is within 2e-7 everywhere, and relatively near zero", async () => {
    const x = quantize(
      Float64Array.from({ length: 1001 }, (_, i) => (i - 500) / 100),
      "f32",
    );
    compare("erf", await run("erf", x), x.map(reference.erf), { absolute: 1e-30, relative: 2.5e-7 });
  });

  test("tanh is relatively exact near zero", async () => {
    const x = quantize(
      Float64Array.from({ length: 1001 }, (_, i) => (i - 500) / 250),
      "f32",
    );
    compare("tanh", await run("tanh", x), x.map(Math.tanh), { absolute: 1e-30, relative: 4e-7 });
  });
});

const l2Normalizes: readonly (readonly [how: string, kernel: Kernel<L2NormalizeShape>, wider: number])[] = [
  ["one by one, by a workgroup", l2Normalize, 0],
  ["one by one, by a thread", l2NormalizeBy("thread"), 0],
  ["in fours, by a workgroup", l2Normalize, 8],
  ["in fours, by a thread", l2NormalizeBy("thread"), 8],
];

describe.each([
  ...l2Normalizes,
  ...(subgroupIds ? [["in fours, through subgroups", l2NormalizeBy("subgroups"), 1040] as const] : []),
])("l2_normalize %s", (_, kernel, wider) => {
  /** One row, with zeros after it up to `wider` columns, which change nothing. */
  async function run(x: readonly number[], dtype: Scalar = "f32"): Promise<number[]> {
    const row = [...x, ...new Array(Math.max(0, wider - x.length)).fill(0)];
    const shape = { rows: 1, cols: row.length, dtype };
    const { out } = await runKernel(device, kernel, shape, { x: row }, { out: row.length });
    return [...out!.subarray(0, x.length)];
  }

  test.each([1e-12, 1, 3e37, 1e30])("of values of %d, whose squares may overflow", async (value) => {
    compare("l2", await run([3 * value, 4 * value]), [0.6, 0.8], { absolute: 0, relative: 4e-7 });
  });

  test("of what is shorter than eps", async () => {
    expect(await run([0, 0, 0])).toEqual([0, 0, 0]);
    compare("l2", await run([3e-16, 4e-16]), [3e-4, 4e-4], { absolute: 0, relative: 4e-7 });
  });

  test("of NaN and infinity, as PyTorch has it", async () => {
    expect(await run([1, nan])).toEqual([nan, nan]);
    expect(await run([1, inf])).toEqual([0, nan]);
  });

  testF16(`in f16 squares what f16 cannot${without}`, async () => {
    compare("l2", await run([3e4, 4e4], "f16"), [0.6, 0.8], { absolute: 0, relative: 2 ** -10 });
  });
});

describe("top_k", () => {
  async function run(x: number[], k: number, lastIndex: boolean = false): Promise<Record<string, Float64Array>> {
    return runKernel(
      device,
      topK,
      { rows: 1, cols: x.length, k, dtype: "f32", lastIndex },
      { x },
      { values: k, indices: k },
    );
  }

  test("ranks NaN first, infinity next, -infinity last, and -0 with 0", async () => {
    const { values, indices } = await run([1, -inf, nan, -0, inf, 0, -1], 7);
    expect([...indices!]).toEqual([2, 4, 0, 3, 5, 6, 1]);
    expect([...values!].map((value) => value + 0)).toEqual([nan, inf, 1, 0, 0, -1, -inf]);
  });

  test("of equals takes the lowest column, or the highest", async () => {
    expect([...(await run([2, 7, 7, 7, 1], 3)).indices!]).toEqual([1, 2, 3]);
    expect([...(await run([2, 7, 7, 7, 1], 3, true)).indices!]).toEqual([3, 2, 1]);
  });
});

describe("pool", () => {
  const inputs = { cu_seqlens: [0, 2, 2, 4], tokens: [1, 1, 0, 0].flatMap((keep) => [0, 0, 0, keep]) };

  test.each(["mean", "max", "cls"] as const)(
    "%s of a sequence without rows, or with masked ones only, is zeros",
    async (mode) => {
      const shape = { sequences: 3, hidden: 2, dtype: "f32" as const, mode, mask: true };
      const { out } = await runKernel(
        device,
        pool,
        shape,
        { x: [-1, -2, -3, -4, nan, inf, 7, 8], ...inputs },
        { out: 6 },
      );
      expect([...out!]).toEqual([...{ mean: [-2, -3], max: [-1, -2], cls: [-1, -2] }[mode], 0, 0, 0, 0]);
    },
  );

  test("max passes NaN on", async () => {
    const shape = { sequences: 1, hidden: 1, dtype: "f32" as const, mode: "max" as const, mask: false };
    const { out } = await runKernel(device, pool, shape, { x: [1, nan, 2], cu_seqlens: [0, 3] }, { out: 1 });
    expect(out![0]).toBeNaN();
  });

  testF16(`mean adds up what f16 cannot hold${without}`, async () => {
    const shape = { sequences: 1, hidden: 1, dtype: "f16" as const, mode: "mean" as const, mask: false };
    const { out } = await runKernel(
      device,
      pool,
      shape,
      { x: new Array(300).fill(60000), cu_seqlens: [0, 300] },
      { out: 1 },
    );
    expect(out![0]).toBe(60000);
  });
});

describe("matmul", () => {
  const kernels = [matmul, matmulUnaligned, matmulNaive];
  const shape = { m: 1, n: 1, k: 64, bias: false, residual: false, activation: "none" as const };

  test.each(kernels)("$name passes NaN and infinity on", async (kernel) => {
    const x = new Float64Array(3 * 64).fill(1);
    x[7] = nan;
    x[64] = inf;
    const inputs = { x, weight: new Float64Array(64).fill(1) };
    const { out } = await runKernel(device, kernel, { ...shape, m: 3, dtype: "f32" }, inputs, { out: 3 });
    expect([...out!]).toEqual([nan, inf, 64]);
  });

  for (const kernel of kernels) {
    testF16(`${kernel.name} adds up in f16 what f16 cannot hold${without}`, async () => {
      const x = Float64Array.from({ length: 64 }, (_, i) => (i < 32 ? 200 : -200));
      x[63] = -199;
      const inputs = { x, weight: new Float64Array(64).fill(200) };
      const { out } = await runKernel(device, kernel, { ...shape, dtype: "f16" }, inputs, { out: 1 });
      expect(out![0]).toBe(200);
    });
  }
});

describe("gather_rows", () => {
  test("copies bits: subnormals, -0, NaN, infinity", async () => {
    const table = [2 ** -149, -(2 ** -140), -0, nan, inf, 1];
    const shape = { count: 2, cols: 3, tableRows: 2, dtype: "f32" as const };
    const { out } = await runKernel(device, gatherRows, shape, { table, indices: [1, 0] }, { out: 6 });
    expect([...out!]).toEqual([nan, inf, 1, 2 ** -149, -(2 ** -140), -0]);
  });

  testF16(`copies f16 subnormals in rows of an even number of columns${without}`, async () => {
    const table = [2 ** -24, -(2 ** -20), -0, nan];
    const shape = { count: 2, cols: 2, tableRows: 2, dtype: "f16" as const };
    const { out } = await runKernel(device, gatherRows, shape, { table, indices: [1, 0] }, { out: 4 });
    expect([...out!]).toEqual([-0, nan, 2 ** -24, -(2 ** -20)]);
  });
});
