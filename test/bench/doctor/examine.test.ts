/** What doctor does with kernels that are wrong, devices that are lost, and answers that never come. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { allTables, kernelChecks } from "../../../bench/doctor/checks.ts";
import { type Examination, examine, type ModeOf, type Told } from "../../../bench/doctor/examine.ts";
import { type Finding, isFault } from "../../../bench/doctor/findings.ts";
import type { Kernel } from "../../../src/kernels/kernel.ts";
import type { MatmulShape } from "../../../src/kernels/matmul/matmul.ts";
import { matmulKernelFor } from "../../../src/kernels/matmul/matmul_choice.ts";
import { avoidKernels } from "../../../src/kernels/substitutes.ts";
import { variantName } from "../../../src/kernels/variant.ts";
import { requestDevice } from "../../../src/node/device.ts";
import { readAvoided, storeAvoided } from "../../../src/node/tuning.ts";
import { traitsOf } from "../../../src/runtime/device.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { linear, matmulCases } from "../../cases.ts";
import { testDevice } from "../../device.ts";

const adapter = process.env.BERT_WEBGPU_ADAPTER || "auto";
const { device, adapter: summary, idle } = await testDevice();
const traits = traitsOf(device, summary);
const features = new Set<string>(device.features);

/** Where it is read or written is the same; what comes out is not. */
function wrong<S>(kernel: Kernel<S>): Kernel<S> {
  return { ...kernel, source: kernel.source.replace(/(\bout\[[^=]*= )/g, "$1Scalar(0.125) + ") };
}

async function findingsOf(modes: readonly ModeOf[], options: Partial<Examination> = {}): Promise<Finding[]> {
  const findings: Finding[] = [];
  const later = performance.now() + 60_000;
  const steps = modes.flatMap((mode) => mode.checks.map((check) => ({ mode, check, until: later })));
  const tell = (told: Told): void => void (told.type === "end" && findings.push(told.finding));
  await examine({ steps, end: later, limit: 20_000, done: 0, faulty: [], ...options }, tell);
  return findings;
}

const mode = (checks: ModeOf["checks"]): ModeOf => ({
  mode: "f32",
  dtype: "f32",
  checks,
  open: () => requestDevice({ adapter }),
});

test("kernels of every table are checked, and those that the engine launches come first", () => {
  const checks = kernelChecks(allTables(), traits, features, "f32");
  const kernels = new Set(checks.map(({ kernel }) => kernel));
  for (const name of ["matmul", "matmul_q8", "attention", "layernorm", "top_k", "attention_backward_q", "triplet"]) {
    expect(kernels, name).toContain(name);
  }
  const chosen = checks.filter((check) => check.chosen).map(({ name }) => name);
  for (const { shape } of matmulCases.cases) {
    const whole: MatmulShape = { ...shape, dtype: "f32" };
    expect(chosen).toContain(variantName(matmulKernelFor(whole, traits), whole, device.limits));
  }
  expect(checks.filter(({ rows }) => rows.length === 0)).toEqual([]);
  expect(chosen.length).toBeLessThan(checks.length);
});

test("a wrong kernel comes on the adapter's list, and the engine takes another", async () => {
  const of = linear(9, 8, 8);
  const shape: MatmulShape = { ...of.shape, dtype: "f32" };
  const chosen = matmulKernelFor(shape, traits);
  const name = variantName(chosen, shape, device.limits);
  const table = { ...matmulCases, cases: [of], typical: [], kernels: () => [wrong(chosen)] };
  const own = kernelChecks([table as never], traits, features, "f32").filter((check) => check.name === name);
  expect(own).toHaveLength(1);
  expect(own[0]).toMatchObject({ chosen: true, replaceable: true });

  const [finding] = await findingsOf([mode(own)]);
  expect(finding).toMatchObject({ name, status: "wrong", replaceable: true });
  expect(finding!.message).toMatch(/times the allowed error/);

  const folder = await mkdtemp(join(tmpdir(), "bert-webgpu-"));
  try {
    const file = join(folder, "tuning.json");
    await storeAvoided(summary, { wrong: [finding!.name], right: [] }, file);
    const avoided = await readAvoided(summary, expect.unreachable, file);
    expect(avoided).toEqual([name]);
    const engine = await Engine.create({ device, adapter: summary, idle, avoid: avoidKernels(avoided) });
    const launched: string[] = [];
    const program = await engine.record("a layer", (r) => {
      const [x, weight] = ["x", "weight"].map((name) => r.input(name, [name === "x" ? 9 : 8, 8], "f32"));
      const out = r.temporary("out", [9, 8], "f32");
      r.dispatch(matmulKernelFor(shape, r.traits), shape, { x, weight, out });
      launched.push(...r.finish().dispatches.map(({ kernel }) => kernel));
      r.output("out", out);
    });
    const { out } = await program.run({ x: new Float32Array(72).fill(1), weight: new Float32Array(64).fill(2) });
    expect(launched).toHaveLength(1);
    expect(launched[0]).not.toBe(chosen.name);
    expect([...out!]).toEqual(new Array(72).fill(16));
    // found right again, it leaves the list
    expect(await storeAvoided(summary, { wrong: [], right: [name] }, file)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("right kernels are said to be right, with how near they come to their bound", async () => {
  const [table] = allTables().filter(({ cases }) => "activation" in cases[0]!.shape && "rows" in cases[0]!.shape);
  const findings = await findingsOf([mode(kernelChecks([table!], traits, features, "f32"))]);
  expect(findings.length).toBeGreaterThan(0);
  for (const finding of findings) {
    expect(finding).toMatchObject({ type: "kernel", status: "right" });
    if (finding.type !== "kernel") continue;
    expect(finding.rows).toBe(finding.of);
    expect(finding.worst!.error).toBeLessThanOrEqual(finding.worst!.bound);
  }
});

const row = (run: (device: GPUDevice) => Promise<{ error: number; bound: number }>) => [{ shape: "{}", run }];
const check = (name: string, rows: ReturnType<typeof row>) => ({
  ...{ name, kernel: name, rows, replaceable: true, chosen: true },
});
const good = async (device: GPUDevice) => {
  device.pushErrorScope("validation");
  device.createBuffer({ size: 16, usage: 0x80 }).destroy();
  if (await device.popErrorScope()) throw new Error("the device is gone");
  return { error: 0, bound: 1 };
};

test("a lost device and an answer that never comes are told, and the rest goes on with a fresh device", async () => {
  const seen = new Set<GPUDevice>();
  const findings = await findingsOf(
    [
      mode([
        check("first", row(good)),
        check(
          "loses",
          row(async (device) => {
            seen.add(device);
            device.destroy();
            return new Promise(() => {});
          }),
        ),
        check("second", row(good)),
        check(
          "hangs",
          row((device) => {
            seen.add(device);
            return new Promise(() => {});
          }),
        ),
        check(
          "third",
          row((device) => {
            seen.add(device);
            return good(device);
          }),
        ),
      ]),
    ],
    { limit: 1500 },
  );
  expect(findings.map(({ name, status }) => `${name} ${status}`)).toEqual([
    ...["first right", "loses lost", "second right", "hangs hung", "third right"],
  ]);
  expect(seen.size).toBe(3);
  expect(findings.filter(isFault).map(({ name }) => name)).toEqual(["loses", "hangs"]);
});

test("what no time is left for is said to be skipped", async () => {
  const findings = await findingsOf([mode([check("late", row(good))])], { end: performance.now() - 1 });
  expect(findings).toMatchObject([{ name: "late", status: "skipped", rows: 0, of: 1 }]);
});
