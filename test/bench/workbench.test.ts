/** A kernel author's file: what it says in comments, and how it is held beside the project's kernels. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import files from "wgsl-files";
import type { KernelRow } from "../../bench/rows.ts";
import { benchAuthorFile } from "../../bench/workbench.ts";
import type { WorkbenchOptions } from "../../bench/workbench_claims.ts";
import { evaluateList } from "../../bench/workbench_expression.ts";
import { numericConstants, parseAuthorFile, readAuthorFile, workgroupsOf } from "../../bench/workbench_file.ts";
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
  await benchAuthorFile(path, asked, {
    engine,
    traits: engine.traits,
    dtype,
    options: {
      budget: 10,
      ceilings: [],
      copyTime: async () => undefined,
      onRow: (row) => void rows.push(row),
      onProgress: () => {},
      onFailure: (name, error) => void failures.push(`${name}: ${error.message}`),
    },
  });
  return { rows, failures, kernels: rows.map(({ kernel }) => kernel) };
}

const MATMUL = `// claims: matmul\n// workgroups: ceil(m / 8) * ceil(n / 8), 1, 1\n${naive}`;
const SIZES = { shape: [12, 16, 20] };
const ENTRY = "@compute @workgroup_size(1)\nfn main() {}";

describe("expressions", () => {
  test("are sums over named numbers", () => {
    const names = { m: 100, n: 64, k: 3 };
    expect(evaluateList("ceil(n / 64), ceil(m / 64), 1", names)).toEqual([1, 2, 1]);
    expect(evaluateList("1 + 2 * 3 - 4 / 8", names)).toEqual([6.5]);
    expect(evaluateList("-(m - 1) % 10 + 16u", names)).toEqual([7]);
    expect(evaluateList("max(k, min(m, n, 70), 2) - -1", names)).toEqual([65]);
    expect(evaluateList("10 - 4 - 3, 64 / 4 / 2", names)).toEqual([3, 8]);
  });

  test.each([
    ["ceil(n / 64", 'character 12: ")" is wanted here, not the end'],
    ["q + 1", "character 1: nothing is named q; there are n"],
    ["1 + round(n)", "character 5: no function is named round; there are ceil, min, max"],
    ["n / (4 - 4)", "character 3: division by zero"],
    ["n n", 'character 3: an operator is wanted, not "n"'],
    ["", "character 1: a value is wanted, not the end"],
    ["n; 1", 'character 2: an operator is wanted, not ";"'],
    ["1.2.3", "character 1: 1.2.3 is no number"],
    ["constructor", "character 1: nothing is named constructor"],
    ["ceil(1, 2)", "character 1: ceil takes one value, not 2"],
  ])("that are none say where: %s", (text, message) => {
    expect(() => evaluateList(text, { n: 64 })).toThrow(message);
  });
});

describe("a file", () => {
  test("says in comments what the bench must know", () => {
    const { notes, bindings } = parseAuthorFile("a.wgsl", MATMUL);
    expect(notes).toEqual({ claims: "matmul", workgroups: "ceil(m / 8) * ceil(n / 8), 1, 1" });
    expect(bindings.map(({ name }) => name)).toEqual(["x", "weight", "bias", "residual", "out", "params"]);
  });

  test("is joined with what it asks for, once, after its own lines", () => {
    const text = `// Mine\n// #import "shared/activation.wgsl"\n// #import "matmul/store.wgsl"\n${ENTRY}`;
    const { source } = parseAuthorFile("a.wgsl", text);
    expect(source.split("\n").indexOf("fn main() {}")).toBe(text.split("\n").indexOf("fn main() {}"));
    for (const shared of ["fn activate(", "fn store("]) expect(source.split(shared)).toHaveLength(2);
    expect(parseAuthorFile("a.wgsl", source).source).toBe(source); // of what was joined nothing is joined again
    expect(() => parseAuthorFile("a.wgsl", '// #import "shared/nothing.wgsl"')).toThrow(
      "a.wgsl: there is no shared/nothing.wgsl to import; there are attention/operands_scalar.wgsl, ",
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
    [`override SIZE: u32;\n${ENTRY}`, 'override SIZE has no value, and nothing here sets it: write "const SIZE = 8;"'],
  ])("that cannot be run as it is declared is refused: %j", (text, message) => {
    expect(() => parseAuthorFile("a.wgsl", text)).toThrow(message);
  });

  test("may not be a folder", async () => {
    await expect(readAuthorFile(folder)).rejects.toThrow("is a folder: name a .wgsl file in it");
  });

  test("has constants that its workgroups may name", () => {
    const source = "const TILE = 4u;\nconst SIZE: u32 = TILE * TILE;\nconst ON = true;\nconst ZERO = vec4f();";
    expect(numericConstants(`${source}\n@id(7) override DEPTH = SIZE * 2;`, {})).toEqual({
      TILE: 4,
      SIZE: 16,
      DEPTH: 32,
    });
    const file = parseAuthorFile("a.wgsl", `// workgroups: m / SIZE\n${source}\n${ENTRY}`);
    const most = 65535;
    expect(workgroupsOf(file, undefined, { m: 48, SIZE: 16 }, most)).toEqual([3, 1, 1]);
    expect(workgroupsOf(file, "7x2", {}, most)).toEqual([7, 2, 1]);
    expect(() => workgroupsOf(file, undefined, { m: 50, SIZE: 16 }, most)).toThrow("is 3.125: whole numbers");
    expect(() => workgroupsOf(file, "1,1,1,1", {}, most)).toThrow("4 numbers, a launch has at most 3");
    expect(() => workgroupsOf(file, "0", {}, most)).toThrow('workgroups "0": whole numbers from 1 are wanted');
    expect(() => workgroupsOf(file, "70000", {}, most)).toThrow('workgroups "70000": a dimension holds at most 65535');
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

  const FOLDED = "ceil(rows / ceil(WORKGROUP_SIZE / LANES))";
  test.each<[string, WorkbenchOptions]>([
    ["activation", { claims: "gelu", shape: [5, 24], workgroups: "ceil(rows * cols / (4 * WORKGROUP_SIZE))" }],
    ["layernorm", { shape: [5, 24], workgroups: FOLDED }],
    ["softmax", { shape: [5, 24], workgroups: FOLDED }],
    ["l2_normalize", { shape: [5, 24], workgroups: FOLDED }],
    ["embed_layernorm", { workgroups: "tokens" }],
    ["pool", { workgroups: "ceil(sequences * hidden / WIDTH / WORKGROUP_SIZE)" }],
    ["gather_rows", { workgroups: "count" }],
    ["top_k", { workgroups: "rows" }],
    ["attention", { shape: [20, 2, 16], workgroups: "(ceil(tokens / QUERIES) + 1) * heads" }],
    ["attention_probs", { shape: [20, 2, 16], workgroups: "tokens * heads" }],
    ["matmul", { ...SIZES, workgroups: "ceil(m / (ROWS * ROW_THREADS)) * ceil(n / (8 * COL_THREADS))" }],
    ["matmul_workgroup", { ...SIZES, workgroups: "ceil(m / TILE_ROWS) * ceil(n / TILE_COLS)" }],
    ["matmul_split_k", { ...SIZES, workgroups: "ceil(m / (4 * ROW_THREADS)) * ceil(n / (8 * COL_THREADS))" }],
  ])("computes what it claims: %s", async (name, asked) => {
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
    ["softmax_mine.wgsl", `// workgroups: rows\n${softmax}`],
    ["layernorm_mine.wgsl", `// workgroups: rows\n${layernorm}`],
    ["tanh_mine.wgsl", `// workgroups: ceil(rows * cols / (4 * WORKGROUP_SIZE))\n${activation}`],
  ])("by the beginning of its name: %s", async (name, text) => {
    const { failures, kernels } = await bench(name, text, { shape: [5, 24] });
    expect(failures).toEqual([]);
    expect(kernels.at(-1)).toBe(name);
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
      'claims "matmult", which there is not; there are matmul, attention',
    ],
    ["an unknown binding", MATMUL.replaceAll("weight", "wait"), {}, "mine.wgsl binds wait, which"],
    ["no output", MATMUL.replaceAll("read_write> out", "read> out"), {}, "mine.wgsl does not write out"],
    [
      "no workgroups",
      MATMUL.replace("workgroups", "groups"),
      {},
      "mine.wgsl does not say how many workgroups it wants",
    ],
    ["a shape of another kind", MATMUL, { shape: [3, 4] }, "--shape of matmul is MxNxK; 2 sizes given"],
    [
      "a parameter that the shape has not",
      MATMUL.replace("  m: u32", "  m: u32,\n  batch: u32"),
      SIZES,
      "mine.wgsl: no value for Params.batch; of this shape there are m, n, k, ",
    ],
    ["a name that workgroups have not", MATMUL, { ...SIZES, workgroups: "ceil(q / 8)" }, "nothing is named q"],
    [
      "more workgroups than a dimension holds",
      MATMUL,
      { ...SIZES, workgroups: "m * 5462" },
      'workgroups "m * 5462" is 65544: a dimension holds at most 65535',
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

describe("a file that claims nothing", () => {
  const twice = `// params: n = 64, doubled = n * 2
// lengths: x = doubled, out = n
// workgroups: ceil(n / 64)
struct Params { n: u32, doubled: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.n) { out[id.x] = x[id.x] + x[params.doubled - 1 - id.x]; }
}`;

  test("is timed, and said to be unverified", async () => {
    const { rows, failures } = await bench("twice.wgsl", twice, { shape: [100] });
    expect(failures).toEqual([]);
    expect(rows).toMatchObject([
      { kernel: "twice.wgsl", shape: "100x200", bytes: 1200, check: { how: "unverified: it claims nothing" } },
    ]);
  });

  test.each([
    ["lengths", twice.replace("x = doubled, ", ""), 'write "// lengths: x = 1024, ..."'],
    ["params", twice.replace(", doubled = n * 2", ""), "so Params.doubled needs a value"],
    ["lengths of what it binds", twice.replace("x = doubled", "y = doubled"), "names y, which is not bound"],
    ["lengths that are", twice.replace("x = doubled", "x = doubled - 128"), "length of x: doubled - 128 is 0"],
    ["workgroups' names", twice.replace("ceil(n / 64)", "ceil(q / 64)"), "nothing is named q"],
    ["lengths that fit", twice.replace("out = n", "out = n * 1e9"), "out takes 256000 MB, a storage binding of this"],
    ["assignments", twice.replace("n = 64", "n is 64"), '"n is 64" is not NAME = VALUE'],
  ])("must say its %s", async (_, text, message) => {
    await expect(bench("twice.wgsl", text)).rejects.toThrow(message);
  });
});
