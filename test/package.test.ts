/** The package as its users get it: what `exports` promises, what importing costs, what is inside. */

import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import manifest from "../package.json" with { type: "json" };
import { type NodeDevice, requestDevice } from "../src/node/device.ts";
import { kernelTexts } from "../wgsl.ts";

const ROOT = join(import.meta.dirname, "..");
const at = (path: string): string => join(ROOT, path);
const run = promisify(execFile);

const built = existsSync(at("dist/index.js"));
const BROWSER = ["dist/index.js", "dist/kernels.js"];
const NODE = ["index", "browser", "kernels", "train"].map((name) => `dist/node/${name}.js`);
const ENTRIES = [...BROWSER, "dist/train.js", "dist/index.min.js", ...NODE];
/** Sample apps, as their bundler sees them, and how many bytes of them may be left after minifying and gzip. */
const APPS: readonly [name: string, budget: number, code: string][] = [
  ["one kernel", 6_000, 'export { matmul } from "bert-webgpu/kernels";'],
  ["the engine with kernels of one's own", 9_700, 'export { Engine } from "bert-webgpu";'],
  [
    "engine, BERT, tokenizer and their kernels",
    60_000,
    'export { BertModel, Engine, loadTokenizer } from "bert-webgpu";',
  ],
  ["sentiment", 70_000, 'export { classifyText, Engine, httpFolder, loadPretrained } from "bert-webgpu";'],
  ["semantic search", 71_500, 'export { Engine, embedText, hubFolder, loadPretrained } from "bert-webgpu";'],
];
/** Kernels that apps import as `bert-webgpu/kernels/NAME.wgsl`: none may go. */
const PUBLISHED = [
  ...["activation", "attention", "attention_broadcast", "attention_probs", "attention_unaligned", "embed_layernorm"],
  ...["gather_rows", "l2_normalize", "layernorm", "matmul", "matmul_broadcast", "matmul_naive", "matmul_q8"],
  ...["matmul_split_k", "matmul_unaligned", "matmul_workgroup", "pool", "softmax", "top_k"],
];
/** Bytes after gzip, of everything. */
const MOST = 106_500;

test("the lock file names no registry: packages come from the one that npm is set up with", () => {
  expect(readFileSync(at("package-lock.json"), "utf8")).not.toContain('"resolved"');
});

describe.skipIf(!built)("the built package (needs `node build.mjs`)", () => {
  test("has every file that package.json promises", () => {
    const { bin, exports } = manifest;
    const targets = [...Object.values(bin), ...Object.values(exports).flatMap((target) => Object.values(target))];
    for (const target of targets.filter((target) => target.startsWith("./dist/"))) {
      const types = /^\.\/dist\/types\/(.*)\.d\.ts$/.exec(target)?.[1];
      if (target.includes("*")) expect(readdirSync(at("dist/kernels"))).not.toEqual([]);
      else expect(existsSync(at(types === undefined ? target : `src/${types}.ts`)), target).toBe(true);
    }
  });

  test("has a command that can be executed", () => {
    const command = at(manifest.bin["bert-webgpu"]);
    expect(readFileSync(command, "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
    expect(statSync(command).mode & 0o111).toBe(0o111);
  });

  test.each([...BROWSER, "dist/train.js", ...BROWSER.map((entry) => entry.replace(".js", ".min.js"))])(
    "%s is one file and imports nothing",
    async (entry) => {
      const { metafile } = await build({
        entryPoints: [at(entry)],
        absWorkingDir: ROOT,
        bundle: true,
        write: false,
        metafile: true,
        format: "esm",
        packages: "external",
      });
      expect(Object.keys(metafile.inputs)).toEqual([entry]);
      expect(Object.values(metafile.inputs).flatMap(({ imports }) => imports)).toEqual([]);
    },
  );

  const appOf = async (code: string): Promise<Uint8Array> => {
    const { outputFiles } = await build({
      stdin: { contents: code, resolveDir: ROOT },
      alias: { "bert-webgpu/kernels": at("dist/kernels.js"), "bert-webgpu": at("dist/index.js") },
      bundle: true,
      minify: true,
      write: false,
      format: "esm",
    });
    return outputFiles[0]!.contents;
  };

  test.each(APPS)("an app of %s is at most %d bytes after gzip", async (_, budget, code) => {
    expect(gzipSync(await appOf(code)).length).toBeLessThanOrEqual(budget);
  });

  test("an app gets nothing that it does not use, not even a constant", async () => {
    const code = new TextDecoder().decode(await appOf('export { DisposedError } from "bert-webgpu";'));
    expect(code).toMatch(/^var (\w+)=class extends Error\{name="DisposedError"\};export\{\1 as DisposedError\};\n$/);
  });

  test("an app without adapters has nothing of them", async () => {
    const code = APPS.map(([, , code]) => code);
    for (const app of code) expect(new TextDecoder().decode(await appOf(app))).not.toMatch(/lora_|adapter_config/);
    const own = await appOf('export { BertModel, Engine, loadAdapter } from "bert-webgpu";');
    expect(new TextDecoder().decode(own)).toMatch(/adapter_config/);
  });

  test.each(BROWSER)("%s has what kernels share once", (entry) => {
    const text = readFileSync(at(entry), "utf8");
    for (const shared of ["fn activate(", "fn row_moments(", "fn max4("]) expect(text.split(shared)).toHaveLength(2);
  });

  test(`dist/index.min.js is at most ${MOST} bytes after gzip`, () => {
    expect(gzipSync(readFileSync(at("dist/index.min.js"))).length).toBeLessThanOrEqual(MOST);
  });

  test.each(ENTRIES)(
    "importing %s loads no GPU, sets no global, evaluates no string, prints nothing",
    async (entry) => {
      const program = `
      const before = Object.getOwnPropertyNames(globalThis).length;
      await import(${JSON.stringify(pathToFileURL(at(entry)).href)});
      if (Object.getOwnPropertyNames(globalThis).length !== before) console.log("set a global");
      const loaded = process.report.getReport().sharedObjects.filter((file) => /dawn|vulkan/i.test(file));
      if (loaded.length > 0) console.log("loaded " + loaded);`;
      const flags = ["--disallow-code-generation-from-strings", "--input-type=module", "--eval", program];
      expect(await run(process.execPath, flags)).toEqual({ stdout: "", stderr: "" });
    },
  );

  test("the entries for Node mean the same classes, and in Node models are paths as well", async () => {
    const load = async (entry: string) => (await import(pathToFileURL(at(entry)).href)) as Record<string, unknown>;
    const [browser, node] = await Promise.all([load("dist/node/browser.js"), load("dist/node/index.js")]);
    const others = Object.keys(browser).filter((name) => node[name] !== browser[name]);
    expect(others.sort()).toEqual(["loadAdapter", "loadGenerator", "loadPretrained", "pipeline"]);
  });

  test("the entry for training brings what inference lacks, and inference does not bring it", () => {
    const text = (entry: string): string => readFileSync(at(entry), "utf8");
    for (const kernel of ["adamw", "optimizer_step", "segment_sums"]) {
      expect(text("dist/train.js")).toContain(`"${kernel}"`);
      expect(text("dist/index.js")).not.toContain(`"${kernel}"`);
    }
    expect(text("dist/train.js")).not.toMatch(/from "node:|require\(/);
  });

  test("says where the bundled model lies", async () => {
    const { bundledModel } = (await import(
      pathToFileURL(at("dist/node/index.js")).href
    )) as typeof import("../src/node/index.ts");
    expect(bundledModel()).toBe(at("weights/movie-bert"));
    expect(existsSync(join(bundledModel(), "model.safetensors"))).toBe(true);
  });

  test("packs what users need and nothing else", async () => {
    const { stdout } = await run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: ROOT });
    const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
    const paths = files.map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(["LICENSE", "package.json", "dist/index.js", "dist/node/index.js"]));
    expect(paths.filter((path) => !/^(dist|docs|weights)\/|^[A-Z]+(\.md)?$|^package\.json$/.test(path))).toEqual([]);
    const weights = paths.filter((path) => /^weights\/[^/]+$/.test(path));
    expect(weights.sort()).toEqual(["weights/README.md", "weights/manifest.json"]);
  });

  describe("kernels", () => {
    let gpu: NodeDevice;
    // Dawn's null backend compiles and validates everything, and needs no adapter
    beforeAll(async () => {
      const features = ["chromium-experimental-subgroup-matrix"];
      gpu = await requestDevice({ adapter: "null", features, toggles: ["allow_unsafe_apis"] });
    });
    afterAll(() => gpu.close());

    const folder = at("dist/kernels");

    test("are all there, whole, each a file of its own", () => {
      const texts = kernelTexts(ROOT);
      expect(readdirSync(folder).sort()).toEqual([...texts.keys()].map((name) => `${name}.wgsl`).sort());
      for (const [name, text] of texts) expect(readFileSync(join(folder, `${name}.wgsl`), "utf8")).toBe(text);
      expect([...texts].filter(([, text]) => text.includes("#import"))).toEqual([]);
      expect([...texts.keys()]).toEqual(expect.arrayContaining(PUBLISHED));
    });

    test.each(existsSync(folder) ? readdirSync(folder) : [])("%s compiles as it stands", async (name) => {
      const { device } = gpu;
      const module = device.createShaderModule({ code: readFileSync(join(folder, name), "utf8") });
      expect((await module.getCompilationInfo()).messages.map(({ message }) => message)).toEqual([]);
      await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
    });
  });
});
