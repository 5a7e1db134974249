/** int8 weights: the kernel against its CPU twin, and what int8 costs against the unrounded product. */
import { describe, expect, test } from "vitest";
import type { Scalar } from "../../src/kernels/kernel.ts";
import { matmulQ8 } from "../../src/kernels/matmul/matmul_q8.ts";
import * as reference from "../../src/kernels/reference/twins.ts";
import { quantizeRow } from "../../src/runtime/quantize.ts";
import { matmulQ8Cases, randomNumbers } from "../cases.ts";
import { hasF16, testDevice } from "../device.ts";
import { cosine } from "../support.ts";
import { check, runKernel } from "./harness.ts";

const { device } = await testDevice();

describe.each<Scalar>(["f32", "f16"])("%s", (dtype) => {
  const reason = dtype === "f16" && !hasF16(device) ? " (skipped: the adapter has no shader-f16)" : "";
  describe.skipIf(reason !== "")(`against the CPU twin${reason}`, () => {
    const rows = matmulQ8Cases.cases.map((of) => [JSON.stringify(of.shape), of] as const);
    test.each(rows)("%s", async (_, of) => {
      await check(device, matmulQ8, matmulQ8Cases, of, dtype);
    });
  });
});

const plain = { dtype: "f32", bias: false, residual: false, activation: "none" } as const;

test("a product of uniform numbers keeps a cosine of 0.9999 to the unrounded one", async () => {
  const [m, n, k] = [16, 48, 770];
  const numbers = randomNumbers(3);
  const x = Float32Array.from(numbers.values(m * k));
  const weight = Float32Array.from(numbers.values(n * k));
  const words = Math.ceil(k / 4);
  const codes = new Uint32Array(n * words);
  const scales = Float64Array.from({ length: n }, (_, row) =>
    quantizeRow(weight.subarray(row * k, (row + 1) * k), codes.subarray(row * words, (row + 1) * words)),
  );
  const shape = { m, n, k, ...plain };
  const { out } = await runKernel(device, matmulQ8, shape, { x, weight: codes, scales }, { out: m * n });
  const exact = reference.matmul(shape, { x, weight }).out!;
  expect(cosine(out!, exact)).toBeGreaterThan(0.9999);
  // The roundings of both sides are at most half a step of 1/127; their errors add as random signs do.
  expect(cosine(out!, exact)).toBeLessThan(1);
});

test("a row with an infinity or a NaN is NaN, its neighbours are untouched, zeros stay zeros", async () => {
  const [m, n, k] = [4, 4, 40];
  const x = new Float64Array(m * k).fill(1);
  x[3] = Number.POSITIVE_INFINITY;
  x[k + 39] = Number.NaN;
  x.fill(0, 2 * k, 3 * k);
  const weight = new Float64Array(n * 10).fill(0x01010101);
  const scales = new Float64Array(n).fill(1);
  const { out } = await runKernel(device, matmulQ8, { m, n, k, ...plain }, { x, weight, scales }, { out: m * n });
  expect([...out!].map((value) => Math.round(value))).toEqual([
    ...new Array(8).fill(Number.NaN),
    ...new Array(4).fill(0),
    ...new Array(4).fill(40),
  ]);
});
