/** The declarations of the package as its users' compilers read them, and every snippet of the documents against them. */

import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeDeclarations } from "../declarations.ts";

const ROOT = join(import.meta.dirname, "..");
const run = promisify(execFile);
/** Of another version, to hold the declarations against it. */
const TSC = process.env.BERT_WEBGPU_TSC ?? join(ROOT, "node_modules/typescript/bin/tsc");

const ENTRIES = `
import * as all from "bert-webgpu";
import * as kernels from "bert-webgpu/kernels";
import * as node from "bert-webgpu/node";
import * as train from "bert-webgpu/train";
export const store: train.Store = train.memoryStore();
export const engine: Promise<all.Engine> = node.createEngine();
export const source: string = kernels.matmul.source;
`;

const FORWARD = `
import type { BertModel, Forward, Values, Wanted } from "bert-webgpu";
declare const model: BertModel;
declare const wanted: Wanted;
declare const perhaps: boolean;
const sequences = [{ inputIds: [101, 102] }];
export const { lastHiddenState: { data, shape } } = await model.forward(sequences, { lastHiddenState: true });
const all = await model.forward(sequences, {
  spanLogits: true, predictionTopK: 3, predictionRows: [1], attentions: true,
  embedding: { pooling: "mean", normalize: true },
});
export const spans: readonly Float32Array[] = [all.startLogits, all.endLogits];
export const others: readonly [number, Values, Values] = [all.predictionTopK.k, all.embedding, all.attentions[0]![0]!];
export const any: Forward = await model.forward(sequences, wanted);
export const maybe: Values | undefined = (await model.forward(sequences, { logits: perhaps })).logits;
// @ts-expect-error not asked for
export const unasked: Values = all.logits;
// @ts-expect-error asked for, or not
export const unsure: Values = (await model.forward(sequences, { logits: perhaps })).logits;
// @ts-expect-error rows are no output
export const rows: Values = (await model.forward(sequences, { predictionRows: [1] })).predictionLogits;
// @ts-expect-error there is no such output
await model.forward(sequences, { logits: true, logit: true });
// @ts-expect-error there is no such output
await model.forward(sequences, { logit: true });
`;

/** What the documents' snippets take as given; the second is not installed here. */
const GIVEN = `
import type { BertModel, Engine, Folder, Sequence, Tokenizer } from "bert-webgpu";
declare global {
  const device: GPUDevice;
  const encoder: GPUCommandEncoder;
  const pass: GPUComputePassEncoder;
  const mine: GPUBuffer;
  const engine: Engine;
  const folder: Folder;
  const model: BertModel;
  const tokenizer: Tokenizer;
  const texts: readonly string[];
  const sequences: readonly Sequence[];
  const lines: AsyncIterable<string>;
  function write(vector: ArrayLike<number>): Promise<void>;
}
`;

const TRANSFORMERS = `declare module "@huggingface/transformers" { export const pipeline: (...given: unknown[]) => unknown }`;

let app: string;
let webgpu: string[]; // what has WebGPU's types, beside the DOM

beforeAll(async () => {
  app = mkdtempSync(join(tmpdir(), "bert-webgpu-types-"));
  const at = join(app, "node_modules/bert-webgpu");
  mkdirSync(join(app, "node_modules/@webgpu"), { recursive: true });
  mkdirSync(at);
  for (const name of ["@types", "@webgpu/types"])
    symlinkSync(join(ROOT, "node_modules", name), join(app, "node_modules", name));
  cpSync(join(ROOT, "package.json"), join(at, "package.json"));
  writeFileSync(join(app, "package.json"), '{ "type": "module" }');
  expect(await writeDeclarations(ROOT, join(at, "dist/types"))).toBe(0);
  const { stdout } = await run(process.execPath, [TSC, "--version"]);
  webgpu = Number(/\d+/.exec(stdout)?.[0]) < 6 ? ["@webgpu/types"] : [];
});
afterAll(() => rmSync(app, { recursive: true, force: true }));

/** What the compiler says of the files, under strict and without skipLibCheck. */
async function compile(files: Readonly<Record<string, string>>, options: object): Promise<string> {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(app, name), text);
  const strict = { strict: true, noEmit: true, target: "es2022", module: "nodenext", skipLibCheck: false };
  const compilerOptions = { ...strict, exactOptionalPropertyTypes: true, allowJs: true, checkJs: true, ...options };
  writeFileSync(join(app, "tsconfig.json"), JSON.stringify({ compilerOptions, files: Object.keys(files) }));
  const failed = await run(process.execPath, [TSC, "-p", app]).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failed === undefined) return "";
  const { stdout } = failed as { stdout?: string };
  if (!stdout) throw failed;
  return stdout;
}

describe("the declarations compile", () => {
  const bundler = { module: "esnext", moduleResolution: "bundler" };
  test.each<[string, object]>([
    ["without the DOM, without Node", { lib: ["ES2022"], types: [] }],
    ["without the DOM, in Node", { lib: ["ES2022"], types: ["node"] }],
    ["with the DOM alone", { lib: ["ES2022", "DOM"], types: [] }],
    ["with the DOM, for a bundler", { lib: ["ES2022", "DOM"], types: [], ...bundler }],
    ["in a worker", { lib: ["ESNext", "WebWorker"], types: [], ...bundler }],
    ["with the DOM and Node", { lib: ["ES2023", "DOM", "DOM.Iterable"], types: ["node"] }],
  ])("%s", async (_, options) => {
    expect(await compile({ "entries.ts": ENTRIES, "forward.ts": FORWARD }, options)).toBe("");
  });

  test("with WebGPU's types, which are then the user's own", async () => {
    const guest = `
      import { type BoundForward, Engine } from "bert-webgpu";
      export const own = (engine: Engine, bound: BoundForward): [GPUDevice, GPUBuffer] => [engine.device, bound.outputs.embedding!];
      // @ts-expect-error no device
      await Engine.create({ device: 1 });`;
    const options = { lib: ["ES2022", "DOM"], types: webgpu };
    expect(await compile({ "entries.ts": ENTRIES, "guest.ts": guest }, options)).toBe("");
  });
});

test("every snippet of the documents compiles as it stands, but for what it takes as given", async () => {
  const documents = [
    "README.md",
    "examples/README.md",
    ...readdirSync(join(ROOT, "docs")).flatMap((name) => (name.endsWith(".md") ? [`docs/${name}`] : [])),
  ];
  const snippets = documents.flatMap((document) => {
    const text = readFileSync(join(ROOT, document), "utf8");
    return [...text.matchAll(/^( *)```(ts|js|typescript|javascript)\n(.*?)^ *```$/gms)].map(
      ({ 2: type, 3: code, index }) => {
        const line = text.slice(0, index).split("\n").length;
        return [`${document.replace("/", "-")}-${line}.${type!.startsWith("t") ? "ts" : "js"}`, `${code}export {};\n`];
      },
    );
  });
  expect(snippets.length).toBeGreaterThan(8);
  const options = { lib: ["ES2023", "DOM", "DOM.Iterable", "DOM.AsyncIterable"], types: ["node", ...webgpu] };
  expect(
    await compile({ "given.d.ts": GIVEN, "transformers.d.ts": TRANSFORMERS, ...Object.fromEntries(snippets) }, options),
  ).toBe("");
});
