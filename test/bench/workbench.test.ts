/** A kernel author's file: what it says in comments, and how it is held beside the project's kernels. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import files from "wgsl-files";
import type { KernelRow } from "../../bench/rows.ts";
import { authorTask, type WorkbenchOptions } from "../../bench/workbench.ts";
import { parseAuthorFile, readAuthorFile } from "../../bench/workbench_file.ts";
import naive from "../../src/kernels/matmul/matmul_naive.wgsl";
import activation from "../../src/kernels/rows/activation.wgsl";
import layernorm from "../../src/kernels/rows/layernorm.wgsl";
import softmax from "../../src/kernels/rows/softmax.wgsl";
import { Engine } from "../../src/runtime/engine.ts";
import { kernelTexts } from "../../wgsl.ts";
import { hasF16, testDevice } from "../device.ts";

let engine: Engine;
let folder: string;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
  folder = await mkdtemp(join(tmpdir(), "workbench-"));
});
afterAll(async () => {
  engine.dispose();
  await rm(folder, { recursive: true });
});

/** Saves a file and measures it; the ceilings and the copy are none of its business. */
async function bench(name: string, text: string, asked: WorkbenchOptions = {}, dtype: "f32" | "f16" = "f32") {
  const rows: KernelRow[] = [];
  const failures: string[] = [];
  const path = join(folder, name);
  await writeFile(path, text);
  const task = authorTask(await readAuthorFile(path), asked, engine, dtype);
  await task.measure(engine, () => true, dtype, {
    budget: 10,
    ceilings: [],
    copyTime: async () => undefined,
    onRow: (row) => void rows.push(row),
    onProgress: () => {},
    onFailure: (name, error) => void failures.push(`${name}: ${error.message}`),
  });
  return { rows, failures, kernels: rows.map(({ kernel }) => kernel) };
}

/** Outputs [12, 16], of which each of four workgroups makes 8 x 8. */
const SIZES = { shape: [12, 16, 20] };
const MATMUL = `// claims: matmul\n// covers: n 4\n${naive}`;
const ENTRY = "@compute @workgroup_size(1)\nfn main() {}";

describe("a file", () => {
  test("says in comments what the bench must know", () => {
    const { claims, covers, bindings } = parseAuthorFile("a.wgsl", `// covers: n 8, m 16\n${MATMUL}`);
    expect([claims, covers]).toEqual([
      "matmul",
      [
        ["n", 8],
        ["m", 16],
      ],
    ]);
    expect(parseAuthorFile("a.wgsl", naive)).toMatchObject({ claims: undefined, covers: undefined });
    expect(bindings.map(({ name }) => name)).toEqual(["x", "weight", "bias", "residual", "out", "params"]);
  });

  test("is joined with what it asks for, once, after its own lines", () => {
    const text = `// Mine\n// #import "shared/activation.wgsl"\n// #import "matmul/store.wgsl"\n${ENTRY}`;
    const { source } = parseAuthorFile("a.wgsl", text);
    expect(source.split("\n").indexOf("fn main() {}")).toBe(text.split("\n").indexOf("fn main() {}"));
    for (const shared of ["fn activate(", "fn store("]) expect(source.split(shared)).toHaveLength(2);
    expect(parseAuthorFile("a.wgsl", source).source).toBe(source); // of what was joined nothing is joined again
    expect(() => parseAuthorFile("a.wgsl", '// #import "shared/nothing.wgsl"')).toThrow(
      "a.wgsl: there is no shared/nothing.wgsl to import; there are attention/backward_out_scalar.wgsl, ",
    );
  });

  test("may be a variant of the project's kernel", () => {
    const swap = '// #import "matmul/operands_scalar.wgsl" instead of "matmul/operands_vec4.wgsl"';
    const { source } = parseAuthorFile("a.wgsl", `// #import "matmul/matmul.wgsl"\n${swap}`);
    expect(source).toContain("fn within_row(");
    expect(source).not.toContain("Vec4");
  });

  test.each([
    ["fn main() {}", "a.wgsl has no entry point main: it has no @compute function"],
    [ENTRY.replace("main", "sum"), 'its @compute functions are sum; name the one to run "fn main"'],
    [
      `@group(0) @binding(0) var<uniform> size: vec4u;\n${ENTRY}`,
      "a.wgsl binds a uniform, size: vec4u, but does not declare it as a struct Params: write ",
    ],
    [`@group(0) @binding(0) var<uniform> params: Params;\n${ENTRY}`, "params: Params, but declares no struct Params"],
    [
      `struct Params { at: vec2u }\n@group(0) @binding(0) var<uniform> params: Params;\n${ENTRY}`,
      "a.wgsl: Params.at is vec2u; a field of Params must be u32, i32 or f32",
    ],
    [
      `struct Params { n: u32 }\n@group(0) @binding(0) var<uniform> a: Params;\n@group(0) @binding(1) var<uniform> b: Params;\n${ENTRY}`,
      "a.wgsl binds 2 uniforms, a, b; one is filled",
    ],
    [
      `// covers: ceil(n / 8)\n${ENTRY}`,
      '"// covers: ceil(n / 8)": one to three names with a number each are wanted, as in "n 8',
    ],
    [`// covers: n 0\n${ENTRY}`, '"// covers: n 0": one to three names'],
    [`// covers: n 1, m 1, k 1, b 1\n${ENTRY}`, "one to three names"],
  ])("that cannot be run as it is declared is refused: %j", (text, message) => {
    expect(() => parseAuthorFile("a.wgsl", text)).toThrow(message);
  });

  test("may not be a folder", async () => {
    await expect(readAuthorFile(folder)).rejects.toThrow("is a folder: name a .wgsl file in it");
  });
});

describe("a copy of a kernel of the project", () => {
  const packaged = kernelTexts(join(import.meta.dirname, "../.."));
  const copies = [...packaged.keys()].map((name) => {
    const path = Object.keys(files).find((path) => path.endsWith(`/${name}.wgsl`) && !path.startsWith("shared/"))!;
    return [name, files[path]!] as const;
  });

  test.each(copies)("is whole, be it of the source file or of the packaged one: %s", (name, text) => {
    const whole = packaged.get(name)!;
    expect(parseAuthorFile(`${name}.wgsl`, text).source).toBe(whole);
    expect(parseAuthorFile(`${name}.wgsl`, whole).source).toBe(whole);
  });

  test.each<[string, WorkbenchOptions]>([
    ["activation", { claims: "activation silu", shape: [5, 24] }],
    ["layernorm", { shape: [5, 24] }],
    ["softmax", { shape: [5, 24] }],
    ["l2_normalize", { shape: [5, 24] }],
    ["embed_layernorm", { shape: [5, 24] }],
    ["pool", { shape: [5, 24] }],
    ["gather_rows", { shape: [5, 24] }],
    ["top_k", { shape: [5, 24] }],
    ["attention", { shape: [20, 2, 16] }],
    ["attention_probs", { shape: [20, 2, 16] }],
    ["matmul", SIZES],
    ["matmul_naive", SIZES],
    ["matmul_workgroup", SIZES],
    ["matmul_split_k", SIZES],
    ["matmul_q8", SIZES],
  ])("is launched as that is, and computes what it claims: %s", async (name, asked) => {
    const { failures, kernels } = await bench(`${name}.wgsl`, new Map(copies).get(name)!, asked);
    expect(failures).toEqual([]);
    expect(kernels.at(-1)).toBe(`${name}.wgsl`);
  });
});

describe("a file that claims something", () => {
  test("is verified and timed beside the project's kernel", async () => {
    const { rows, failures, kernels } = await bench("mine.wgsl", MATMUL, SIZES);
    expect(failures).toEqual([]);
    expect(kernels.at(-1)).toBe("mine.wgsl");
    expect(kernels[0]).toMatch(/^matmul/);
    expect(new Set(rows.map(({ shape, flops }) => `${shape} ${flops}`))).toEqual(new Set(["12x16x20 7680"]));
  });

  test.each([
    ["softmax_mine.wgsl", `// covers: rows 1\n${softmax}`],
    ["layernorm_mine.wgsl", `// covers: rows 1\n${layernorm}`],
    ["activation_mine.wgsl", `// covers: count 256\n${activation}`],
  ])("by the beginning of its name: %s", async (name, text) => {
    const { failures, kernels } = await bench(name, text, { shape: [5, 24] });
    expect(failures).toEqual([]);
    expect(kernels.at(-1)).toBe(name);
  });

  test("is launched as often as it is told", async () => {
    const uncovered = MATMUL.replace("// covers", "// covered");
    const { failures, kernels } = await bench("mine.wgsl", uncovered, { ...SIZES, workgroups: [4, 1, 1] });
    expect([failures, kernels.at(-1)]).toEqual([[], "mine.wgsl"]);
    const few = await bench("mine.wgsl", MATMUL, { ...SIZES, workgroups: [3, 1, 1] });
    expect(few.failures).toEqual([expect.stringContaining("32 of 192 are wrong")]);
  });

  test("with an activation", async () => {
    const { failures, kernels } = await bench("mine.wgsl", MATMUL, { ...SIZES, claims: "matmul gelu" });
    expect([failures, kernels.at(-1)]).toEqual([[], "mine.wgsl"]);
  });

  test("may do without optional operands", async () => {
    const bare = MATMUL.split("\n")
      .filter((line) => !/binding\([23]\)|HAS_/.test(line))
      .join("\n");
    const { failures, kernels } = await bench("bare.wgsl", bare, SIZES);
    expect([failures, kernels.at(-1)]).toEqual([[], "bare.wgsl"]);
  });

  test("in f16, where the adapter has it; its lines keep their numbers", async (context) => {
    if (!hasF16(engine.device)) return context.skip("no shader-f16");
    const { rows, failures } = await bench("mine.wgsl", MATMUL, SIZES, "f16");
    expect([failures, rows.at(-1)!.dtype]).toEqual([[], "f16"]);
    const at = MATMUL.split("\n").findIndex((line) => line.includes("var sum")) + 1;
    const broken = await bench("mine.wgsl", MATMUL.replace("var sum", "vary sum"), SIZES, "f16");
    expect(broken.failures).toEqual([expect.stringContaining(`line ${at}: `)]);
    const wide = bench("mine.wgsl", MATMUL.replaceAll("array<Scalar>", "array<f32>"), SIZES, "f16");
    await expect(wide).rejects.toThrow("x is array<f32>, which reads f32; here it is stored as f16");
  });

  test("and computes something else is not timed: the first wrong element is told", async () => {
    const { failures, kernels } = await bench("mine.wgsl", MATMUL.replace("weight[col", "weight[row"), SIZES);
    expect(kernels).not.toContain("mine.wgsl");
    expect(failures).toEqual([
      expect.stringMatching(/^mine\.wgsl 12x16x20 f32: out.* of 192 are wrong, the first out\[1\] is .*, it must be/),
    ]);
  });

  test("and does not compile is told by its line", async () => {
    const at = MATMUL.split("\n").findIndex((line) => line.includes("var sum")) + 1;
    const { failures } = await bench("mine.wgsl", MATMUL.replace("var sum", "vary sum"), SIZES);
    expect(failures).toEqual([expect.stringMatching(new RegExp(`compile error.*line ${at}: [^]*vary sum`))]);
  });

  test.each<[string, string, WorkbenchOptions, string]>([
    [
      "no such claim",
      MATMUL,
      { claims: "matmult" },
      'claims "matmult", which there is not: write "// claims: matmul" in it; there are matmul, matmul_q8, attention',
    ],
    ["an activation that there is not", MATMUL, { claims: "matmul glue" }, 'claims "matmul glue", which there is not'],
    ["two activations", MATMUL, { claims: "matmul gelu tanh" }, 'claims "matmul gelu tanh", which there is not'],
    [
      "an activation where there is none",
      MATMUL,
      { claims: "softmax gelu" },
      'claims "softmax gelu", which there is not',
    ],
    ["no claim", MATMUL.replace("claims:", "claim"), {}, 'mine.wgsl does not say what it computes: write "// claims: '],
    ["an unknown binding", MATMUL.replaceAll("weight", "wait"), {}, "mine.wgsl binds wait, which"],
    ["no output", MATMUL.replaceAll("read_write> out", "read> out"), {}, "mine.wgsl does not write out"],
    [
      "no launch, where it lacks the constants of the project's kernel",
      MATMUL.replace("covers", "covered"),
      {},
      'mine.wgsl does not say how it is launched: write what a workgroup covers, as in "// covers: n 8, m 8", or give --',
    ],
    ["a shape of another kind", MATMUL, { shape: [3, 4] }, "matmul takes 3 sizes, such as 128x768x768; --shape has 2"],
    [
      "a parameter that the shape has not",
      MATMUL.replace("  m: u32", "  m: u32,\n  batch: u32"),
      SIZES,
      "mine.wgsl: no value for Params.batch; of this shape there are m, n, k, ",
    ],
    [
      "a size to cover that there is not",
      MATMUL.replace("n 4", "n 4, q 8"),
      SIZES,
      'mine.wgsl: no value for "q" of "// covers:"; of this shape there are m, n, k, ',
    ],
    [
      "more workgroups than a dimension holds",
      MATMUL.replace("n 4", "n 1"),
      { shape: [1, 70_000, 4] },
      "mine.wgsl covers 1 of n: 70000 workgroups, a dimension holds at most 65535",
    ],
    [
      "sizes that the device has no room for, before it makes their data",
      MATMUL,
      { shape: [1, 50_000, 50_000] },
      "mine.wgsl: weight takes 10000 MB, a storage binding of this device holds at most ",
    ],
  ])("refuses %s", async (_, text, asked, message) => {
    await expect(bench("mine.wgsl", text, asked)).rejects.toThrow(message);
  });
});
