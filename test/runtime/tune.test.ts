import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Kernel } from "../../src/kernels/kernel.ts";
import { type MatmulShape, matmulKernelOf } from "../../src/kernels/matmul/matmul.ts";
import { matmulCandidates, shapeClass } from "../../src/kernels/matmul/matmul_choice.ts";
import type { MatmulConfig } from "../../src/kernels/matmul/matmul_config.ts";
import { parseMatmulTuning } from "../../src/kernels/matmul/matmul_tuning.ts";
import { requestDevice } from "../../src/node/device.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { tuneMatmul, tuneMatmulBy, tuningKey, tuningShapes } from "../../src/runtime/ops/tune.ts";
import { linear } from "../../src/runtime/ops.ts";
import { asTable } from "../../src/runtime/table.ts";
import { hasF16, testDevice } from "../device.ts";
import { countingDevice } from "./counting.ts";

const shape: MatmulShape = { m: 33, n: 40, k: 64, dtype: "f32", bias: false, residual: false, activation: "none" };

/** Multiplies all but the last row of the result, which keeps the values that were there. */
const lazy: Kernel<MatmulShape> = {
  ...matmulKernelOf({ kind: "register" }, true),
  name: "lazy",
  plan(shape, limits) {
    const { params, ...plan } = matmulKernelOf({ kind: "register" }, true).plan(shape, limits);
    return { ...plan, params: { ...params, m: shape.m - 1 } };
  },
};
const broken: Kernel<MatmulShape> = { ...lazy, name: "broken", source: lazy.source.replace("fn main", "fn other") };

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
});
afterAll(() => engine.dispose());

describe("tuneMatmul", () => {
  test("measures each class, verified, and keeps what beats the built-in choice", async () => {
    const buffers = engine.memoryUse.buffers;
    const names: string[] = [];
    const shapes = [shape, { ...shape, m: 40 }, { ...shape, m: 4 }];
    const result = await tuneMatmul(engine, {
      shapes,
      budgetMs: 60_000,
      onProgress: ({ done, total, name }) => names.push(`${done}/${total} ${name}`),
    });
    expect(names).toEqual(["0/2 m<=128 nk<=2^18 f32", "1/2 m<=4 nk<=2^18 f32"]);
    expect(result.complete).toBe(true);
    expect(result.classes.map(({ shape }) => shape)).toEqual([shape, shapes[2]]);
    for (const { name, candidates, chosen, shape } of result.classes) {
      expect(candidates.map(({ config }) => config)).toEqual(matmulCandidates(shape, engine.traits));
      expect(candidates.map(({ status, reason }) => reason ?? status)).toEqual(candidates.map(() => "timed"));
      const fastest = Math.min(...candidates.map(({ ms }) => ms!));
      expect(fastest).toBeGreaterThan(0);
      if (chosen === candidates[0]) {
        expect(fastest).toBeGreaterThanOrEqual(0.95 * chosen!.ms!);
        expect(result.tuning).not.toHaveProperty([name]);
      } else {
        expect(chosen!.ms).toBe(fastest);
        expect(fastest).toBeLessThan(0.95 * candidates[0]!.ms!);
        expect(result.tuning[name]).toEqual(chosen!.config);
      }
    }
    expect(parseMatmulTuning(JSON.parse(JSON.stringify(result.tuning)))).toEqual(result.tuning);
    expect(engine.memoryUse.buffers - buffers).toBeLessThanOrEqual(5); // the arena's; operands are freed
  }, 120_000);

  test("refuses a kernel that leaves one row out, drops one that does not compile, picks neither", async () => {
    const right: MatmulConfig = { kind: "register" };
    const wrong = matmulCandidates(shape, engine.traits).find(({ kind }) => kind !== "register")!;
    for (const [kernel, status, reason] of [
      [lazy, "refused", /^\[32, 0\] is .*, not .*: off by .*, allowed is /],
      [broken, "failed", /broken.*compile error/],
    ] as const) {
      const kernelOf = (config: MatmulConfig, vec4: boolean) =>
        config.kind === "register" ? matmulKernelOf(config, vec4) : kernel;
      const { classes, tuning } = await tuneMatmulBy(kernelOf, engine, { shapes: [shape], budgetMs: 20_000 });
      const [{ candidates, chosen }] = classes as [(typeof classes)[number]];
      const found = candidates.find(({ config }) => JSON.stringify(config) === JSON.stringify(wrong))!;
      expect(found).toMatchObject({ status, reason: expect.stringMatching(reason) });
      expect(found.ms).toBeUndefined();
      expect(chosen?.config).toEqual(right);
      for (const config of Object.values(tuning)) expect(config).toEqual(right);
    }
    const nothing = await tuneMatmulBy(() => lazy, engine, { shapes: [shape], budgetMs: 20_000 });
    expect(nothing.classes[0]!.chosen).toBeUndefined();
    expect(nothing.tuning).toEqual({});
  }, 60_000);

  test("keeps to its budget, but for what compiles when it ends", async () => {
    const { device, calls } = countingDevice(engine.device);
    const fresh = await Engine.create({ device, adapter: engine.adapter });
    try {
      const slow = (config: MatmulConfig, vec4: boolean): Kernel<MatmulShape> => {
        const kernel = matmulKernelOf(config, vec4);
        return { ...kernel, source: `${kernel.source}\n// ${JSON.stringify(config)} of a cold cache` };
      };
      const before = performance.now();
      const result = await tuneMatmulBy(slow, fresh, { shapes: tuningShapes(fresh), budgetMs: 1 });
      const took = performance.now() - before;
      expect(result.complete).toBe(false);
      expect(result.tuning).toEqual({});
      expect(result.classes.length).toBe(1);
      const [first, ...others] = result.classes[0]!.candidates;
      expect(first!.status).toBe("timed");
      expect(others.map(({ status }) => status)).toEqual(others.map(() => "skipped"));
      // both clocks hold the one compile; what is outside the inner one is a turn of the event loop
      expect(result.ms).toBeLessThanOrEqual(took);
      expect(result.ms).toBeGreaterThan(took / 2);
      expect(calls.createComputePipelineAsync).toBe(1);
    } finally {
      fresh.dispose();
    }
  }, 60_000);

  test("stops when told to, and refuses what makes no sense", async () => {
    const reason = new Error("enough");
    await expect(tuneMatmul(engine, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(tuneMatmul(engine, { budgetMs: 0 })).rejects.toThrow("budgetMs is 0, it must be above 0");
    if (!hasF16(engine.device)) {
      const shapes = tuningShapes(engine, "f16");
      await expect(tuneMatmul(engine, { shapes })).rejects.toThrow(/need the feature shader-f16/);
    }
  });

  test("verifies f16 by the bound of f16", async ({ skip }) => {
    if (!hasF16(engine.device)) skip("the device has no shader-f16");
    const { classes } = await tuneMatmul(engine, { shapes: [{ ...shape, dtype: "f16" }], budgetMs: 20_000 });
    expect(classes[0]!.candidates.map(({ status }) => status)).not.toContain("refused");
  }, 60_000);
});

describe("a tuned engine", () => {
  test("records the tuned kernel, and the built-in one where that does not fit", async () => {
    const table = asTable(engine.tensor("weight", [shape.n, shape.k], "f32"));
    const kernels = async (): Promise<string[]> => {
      const names: string[] = [];
      await engine.record("layer", (r) => {
        linear(r, r.input("x", [shape.m, shape.k], "f32"), { weight: table, bias: undefined });
        names.push(...r.finish().dispatches.map(({ kernel }) => kernel));
      });
      return names;
    };
    const { tuning } = engine;
    try {
      const [builtIn] = await kernels();
      engine.tuning = { [shapeClass(shape)]: { kind: "split_k", split: 8 } };
      expect(await kernels()).toEqual(["matmul_split_k"]);
      engine.tuning = { [shapeClass({ ...shape, m: 8 })]: { kind: "split_k", split: 8 } }; // of another class
      expect(await kernels()).toEqual([builtIn]);
      const tile = { rows: 256, cols: 256, depth: 64, rowFours: 1, colFours: 1 }; // 4096 threads
      engine.tuning = { [shapeClass(shape)]: { kind: "workgroup", tile } };
      expect(await kernels()).toEqual([builtIn]);
    } finally {
      engine.tuning = tuning;
    }
  });
});

describe("an engine with matrix units", () => {
  test("tells of them only where the device has the feature, and compiles what is chosen for them", async () => {
    // Dawn's null backend compiles and validates, and computes nothing
    for (const toggles of [["allow_unsafe_apis"], []]) {
      const found = await requestDevice({ adapter: "null", toggles });
      const unit = { componentType: "f16", resultType: "f32", M: 16, N: 16, K: 16 } as const;
      const adapter = { ...found.adapter, software: false, matrixUnits: [unit], subgroupMaxSize: 32 };
      const engine = await Engine.create({ ...found, adapter });
      try {
        const hasUnits = found.device.features.has("chromium-experimental-subgroup-matrix");
        expect(hasUnits).toBe(toggles.length > 0);
        expect(engine.traits.matrixUnits).toEqual(hasUnits ? [unit] : undefined);
        const half: MatmulShape = {
          m: 128,
          n: 768,
          k: 768,
          dtype: "f16",
          bias: false,
          residual: false,
          activation: "none",
        };
        const candidates = matmulCandidates(half, engine.traits);
        // its subgroups vary in size: kernels ask for the largest, or only tuning may choose matrix units
        expect(candidates[0]!.kind).toBe(hasUnits ? "subgroup" : "workgroup");
        const { subgroupSizeControl: _, ...fewer } = engine.traits;
        const unsized = matmulCandidates(half, fewer);
        expect(unsized[0]!.kind).toBe("workgroup");
        expect(unsized.some(({ kind }) => kind === "subgroup")).toBe(hasUnits);
        for (const config of [...candidates, ...unsized]) {
          const program = await engine.record("candidate", (r) => {
            const [x, weight] = [r.input("x", [128, 768], "f16"), r.input("weight", [768, 768], "f16")];
            const out = r.temporary("out", [128, 768], "f16");
            r.dispatch(matmulKernelOf(config, true), half, { x, weight, out });
          });
          expect(program.dispatches).toBe(1);
        }
      } finally {
        engine.dispose();
      }
    }
  });
});

describe("tuningKey", () => {
  const adapter = { name: "A", vendor: "v", architecture: "a", description: "driver 1", software: false };
  test("is another for another GPU or driver", () => {
    expect(tuningKey(adapter)).toBe("v2 | v | a | A | driver 1");
    expect(tuningKey({ ...adapter, description: "driver 2" })).not.toBe(tuningKey(adapter));
  });
});
