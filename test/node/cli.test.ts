/** The built command line, run as a user runs it. `npm test` builds dist/ first. */

import { spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rawSafetensors } from "../files/build.ts";

const ROOT = join(import.meta.dirname, "../..");
const MAIN = join(ROOT, "dist/node/main.js");
const MODEL = join(ROOT, "weights/movie-bert");
const ADAPTER = ["--adapter", process.env.BERT_WEBGPU_ADAPTER || "auto"];
const COMMANDS = ["fill-mask", "classify", "embed", "tokenize", "info", "check", "demo"];

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  /** Without the lines that Dawn itself writes for some drivers. */
  readonly stderr: string;
  /** Milliseconds from the last byte of output to the end of the process. */
  readonly lingered: number;
}

interface Run {
  readonly input?: string;
  /** Close standard output after its first bytes, as `head` does. */
  readonly closeEarly?: boolean;
  /** Sent once there is output. */
  readonly signal?: NodeJS.Signals;
}

/** Runs a command to its end; whatever happens, nobody is to see a stack trace. */
async function run(args: readonly string[], { input, closeEarly, signal }: Run = {}): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: tmpdir() });
  const output = { stdout: "", stderr: "" };
  let last = performance.now();
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
      last = performance.now();
      if (stream === "stdout" && closeEarly) child.stdout.destroy();
      if (stream === "stdout" && signal) child.kill(signal);
    });
  }
  child.stdin.on("error", () => {}); // it may end before it has read everything
  if (signal) child.stdin.write(input ?? "");
  else child.stdin.end(input ?? "");
  const ended = await new Promise<{ code: number | null; lingered: number }>((resolve, reject) => {
    let lingered = 0;
    child.on("error", reject);
    child.on("exit", () => {
      lingered = performance.now() - last;
    });
    child.on("close", (code) => resolve({ code, lingered }));
  });
  expect(output.stdout + output.stderr).not.toMatch(/^\s+at /m);
  return { ...ended, ...output, stderr: output.stderr.replace(/^(Warning: max|adapter: ).*\n/gm, "") };
}

function jsonLines(text: string): Record<string, unknown>[] {
  expect(text.endsWith("\n")).toBe(true);
  return text
    .slice(0, -1)
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Runs a command that must refuse its input in one line on stderr. */
async function refused(args: readonly string[], why: RegExp, options: Run = {}): Promise<Ended> {
  const ended = await run(args, options);
  expect(ended.stderr, args.join(" ")).toMatch(/^error: .*\n$/);
  expect(ended.stderr, args.join(" ")).toMatch(why);
  expect(ended.code, args.join(" ")).toBe(2);
  return ended;
}

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "bert-webgpu-cli-"));
});
afterAll(() => rm(scratch, { recursive: true }));

describe("without a GPU", () => {
  test("--help says what each command takes, --version the version", async () => {
    const all = await run(["--help"]);
    for (const name of [...COMMANDS, "bench"]) expect(all.stdout).toMatch(new RegExp(`^  ${name}\\b`, "m"));
    for (const name of COMMANDS) {
      const { code, stdout, stderr } = await run([name, "--help"]);
      expect([code, stderr], name).toEqual([0, ""]);
      for (const option of ["--json", "--model <MODEL>", "--adapter <NAME>", "--dtype <TYPE>"]) {
        expect(stdout, name).toContain(option);
      }
    }
    const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as { version: string };
    expect(await run(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  test("wrong usage is refused in one line", async () => {
    for (const [args, why] of [
      [["frobnicate"], /unknown command 'frobnicate'/],
      [["tokenise", "x"], /Did you mean tokenize/],
      [["classify"], /missing required argument 'TEXT'/],
      [["classify", "x", "--frobnicate"], /unknown option/],
      [["classify", "x", "--dtype", "f64"], /f32, f16/],
      [["classify", "x", "--top-k", "none"], /whole number from 1, or "all"/],
      [["fill-mask", "x", "--top-k", "0"], /whole number from 1/],
      [["fill-mask", "x", "--targets", ","], /separated by commas/],
      [["fill-mask", "no mask here"], /text 1 has no \[MASK\]: "no mask here"/],
      [["embed", "x", "--pooling", "median"], /mean, cls, max/],
      [["embed", "-", "-"], /given twice/],
      [["tokenize", "x", "--max-length", "1"], /maxLength 1 does not even hold/],
      [["info", "x"], /too many arguments/],
    ] as const) {
      const { stdout } = await refused(args, why);
      expect(stdout).toBe("");
    }
  });

  test("a model that is none is refused, with every fault", async () => {
    await refused(["classify", "x", "--model", "/nowhere/at/all"], /there is no such file or folder/);
    await refused(["tokenize", "x", "--model", join(MODEL, "vocab.txt")], /give the folder that holds config.json/);
    await refused(["tokenize", "x", "--model", scratch], /neither tokenizer.json nor vocab.txt/);

    const faulty = join(scratch, "faulty");
    await cp(MODEL, faulty, { recursive: true });
    const config = await readFile(join(MODEL, "config.json"), "utf8");
    await writeFile(join(faulty, "config.json"), config.replace('"hidden_size": 192', '"hidden_size": 96'));
    await writeFile(join(faulty, "tokenizer_config.json"), '{"do_lower_case": "perhaps"}');
    const { code, stderr, stdout } = await run(["classify", "x", "--model", faulty]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^error: .*faults$/m);
    expect(stderr).toContain("embeddings.word_embeddings.weight is [8000, 192], config.json asks for [8000, 96]");
    expect(stderr).toContain("do_lower_case");
  });

  test("check tells what it is", async () => {
    const { code, stdout, stderr } = await run(["check", MODEL, join(MODEL, "model.safetensors"), "--json"]);
    expect([code, stderr]).toEqual([0, ""]);
    const checkpoint = { tensors: 62, parameters: 3_052_546, bytes: 6_111_940, dtypes: { F16: 62 } };
    expect(jsonLines(stdout)).toMatchObject([
      { path: MODEL, ok: true, kind: "model folder", checkpoint, tokenizer: { tokens: 8000 }, faults: [] },
      { ok: true, kind: "safetensors file", checkpoint, faults: [] },
    ]);
    const human = await run(["check"]);
    expect(human.stdout).toMatch(/movie-bert: model folder\n {2}model .*3 layers, 192 wide.*\n {2}weights .*62 F16/);
  });

  test("check lists every fault, and goes on to the next path", async () => {
    const [empty, cut, bare] = ["empty.safetensors", "cut.safetensors", "bare"].map((name) => join(scratch, name));
    await writeFile(empty!, "");
    await cp(join(MODEL, "model.safetensors"), cut!);
    await truncate(cut!, 100_000);
    await cp(join(MODEL, "vocab.txt"), join(bare!, "vocab.txt"));
    const paths = [join(scratch, "missing"), empty!, cut!, bare!, MODEL];
    const { code, stdout, stderr } = await run(["check", "--json", ...paths]);
    expect(code).toBe(2);
    expect(jsonLines(stdout)).toMatchObject([
      { path: paths[0], ok: false, faults: ["there is no such file or folder"] },
      { path: empty, ok: false, faults: [expect.stringContaining("0 bytes")] },
      { path: cut, ok: false, faults: [expect.stringContaining("cut short")] },
      { path: bare, ok: false, faults: [expect.stringContaining("config.json"), expect.stringContaining("neither")] },
      { path: MODEL, ok: true, faults: [] },
    ]);
    expect(stderr.match(/^error: .*$/gm)).toHaveLength(4);
    const human = await run(["check", bare!]);
    expect(human.stdout).toMatch(/refused as a model folder, 2 faults\n {2}- config\.json.*\n {2}- neither/);
  });

  /** The bundled model with another configuration, and with values of its F16 tensors set to these bits. */
  async function flawed(name: string, change: object, values: Readonly<Record<string, number>> = {}): Promise<string> {
    const folder = join(scratch, name);
    await cp(MODEL, folder, { recursive: true });
    const config = JSON.parse(await readFile(join(MODEL, "config.json"), "utf8")) as object;
    await writeFile(join(folder, "config.json"), JSON.stringify({ ...config, ...change }));
    const file = await readFile(join(MODEL, "model.safetensors"));
    const length = Number(file.readBigUInt64LE());
    const header = JSON.parse(file.toString("utf8", 8, 8 + length)) as Record<string, { data_offsets: number[] }>;
    for (const [tensor, bits] of Object.entries(values)) {
      file.writeUInt16LE(bits, 8 + length + header[tensor]!.data_offsets[0]! + 2 * 5);
    }
    await writeFile(join(folder, "model.safetensors"), file);
    return folder;
  }

  test("check tells flaws that refuse nothing; other commands do so once", async () => {
    const change = { num_hidden_layers: 2, id2label: { 0: 0, 1: 1 }, architectures: null };
    const folder = await flawed("odd", change, { "bert.encoder.layer.2.output.dense.bias": 0x7e00 });
    const warnings = [
      'config.json: id2label["0"] = 0 (and 1 more): no string, its text is taken',
      "config.json names no architectures",
      expect.stringMatching(/^encoder\.layer\.2\..* num_hidden_layers 2: no later layer is used$/),
    ];
    const unused = 'tensor "bert.encoder.layer.2.output.dense.bias": 1 value is NaN, the first at element 5';
    const { code, stdout, stderr } = await run(["check", "--json", folder]);
    expect([code, stderr]).toEqual([0, ""]);
    const [found] = jsonLines(stdout) as { warnings: string[] }[];
    expect(found).toMatchObject({
      ok: true,
      faults: [],
      warnings: [warnings[0], expect.anything(), warnings[2], unused],
    });
    expect(found!.warnings[1]).toContain(warnings[1]);
    const human = await run(["check", folder]);
    expect(human.stdout.match(/^ {2}warning: /gm)).toHaveLength(4);
    const used = await run(["embed", "--pooling", "mean", "a film", "dull", "--model", folder, ...ADAPTER]);
    expect(used.code).toBe(0);
    expect(used.stderr.match(/^warning: .*$/gm)).toHaveLength(3);
    expect(used.stderr).toContain(`warning: ${folder}: ${warnings[0]}\n`);
  });

  test("check tells modules that are not run; they refuse vectors, and no masks", async () => {
    const folder = await flawed("modular", {});
    const types = ["Transformer", "CNN"].map((kind) => ({ type: `sentence_transformers.models.${kind}`, path: "" }));
    await writeFile(join(folder, "modules.json"), JSON.stringify(types));
    const why = "modules.json has Transformer, CNN; expected Transformer, then at most 32 of Pooling";
    const checked = await run(["check", folder]);
    expect([checked.code, checked.stderr]).toEqual([0, ""]);
    expect(checked.stdout).toContain(`\n  warning: ${why}`);
    const masked = await run(["fill-mask", "a [MASK] film", "--model", folder, ...ADAPTER]);
    expect(masked.code).toBe(0);
    expect(masked.stderr).toContain(`warning: ${folder}: ${why}`);
    const embedded = await run(["embed", "a film", "--model", folder, ...ADAPTER]);
    expect(embedded.code).toBe(2);
    expect(embedded.stderr).toContain(`error: ${folder}: ${why}`);
  });

  test("check finds NaN and infinities in weights", async () => {
    const nan = "bert.encoder.layer.1.output.dense.bias";
    const infinite = "bert.encoder.layer.0.attention.output.dense.bias";
    const folder = await flawed("nan", {}, { [nan]: 0xfe01, [infinite]: 0x7c00 });
    const fault = `tensor "${nan}": 1 value is NaN, the first at element 5`;
    const warning = `tensor "${infinite}": 1 value is infinite, the first at element 5`;
    const { code, stdout, stderr } = await run(["check", "--json", folder, join(folder, "model.safetensors")]);
    expect(code).toBe(2);
    expect(jsonLines(stdout)).toMatchObject([
      { ok: false, faults: [fault], warnings: [warning] },
      { ok: true, faults: [], warnings: [warning, fault] },
    ]);
    expect(stderr).toContain(fault);
  });

  test("no control character of a foreign file is printed", async () => {
    const hostile = join(scratch, "hostile");
    await mkdir(hostile);
    const evil = "\u001b]0;owned\u0007\u007f\u009b31m\u202e";
    const config = JSON.parse(await readFile(join(MODEL, "config.json"), "utf8")) as object;
    const tokenizer = { tokenizer_class: evil, [evil]: evil };
    await writeFile(join(hostile, "config.json"), JSON.stringify({ ...config, model_type: evil, hidden_act: evil }));
    await writeFile(join(hostile, "tokenizer_config.json"), JSON.stringify(tokenizer));
    await writeFile(join(hostile, "vocab.txt"), `[UNK]\n[CLS]\n[SEP]\n${evil}`);
    const tensor = { dtype: evil, shape: [1], data_offsets: [0, 4] };
    await writeFile(join(hostile, "model.safetensors"), rawSafetensors(JSON.stringify({ [evil]: tensor })));
    for (const args of [
      ["check", hostile],
      ["check", "--json", hostile],
      ["check", join(hostile, "model.safetensors")],
      ["tokenize", "x", "--model", hostile],
      ["tokenize", "--json", evil],
      ["classify", "x", "--model", hostile],
    ]) {
      const { stdout, stderr } = await run(args);
      expect(stdout + stderr).not.toBe("");
      expect(stdout + stderr).not.toMatch(/[\p{Bidi_Control}\u2028\u2029]|(?!\n)\p{Cc}/u);
    }
  });

  test("tokenize gives ids, tokens and UTF-16 offsets", async () => {
    const { code, stdout, stderr } = await run(["tokenize", "--json", "a 😀 film", "--pair", "Dull ."]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(jsonLines(stdout)).toEqual([
      {
        text: "a 😀 film",
        text_pair: "Dull .",
        ids: [2, 41, 1, 238, 3, 1197, 18, 3],
        tokens: ["[CLS]", "a", "[UNK]", "film", "[SEP]", "dull", ".", "[SEP]"],
        offsets: [
          [0, 0],
          [0, 1],
          [2, 4],
          [5, 9],
          [0, 0],
          [0, 4],
          [5, 6],
          [0, 0],
        ],
        type_ids: [0, 0, 0, 0, 0, 1, 1, 1],
      },
    ]);
    const plain = await run(["tokenize", "a film", "--no-special", "--max-length", "1"]);
    expect(plain.stdout).toBe("a film\n    41  a  0-1\n");
  });

  test("- is the lines of standard input, in order, among other texts", async () => {
    const lines = Array.from({ length: 200 }, (_, i) => `film ${i}`);
    const input = `\ufeff${lines.join("\r\n")}\n\nlast, without an end`;
    const { code, stdout } = await run(["tokenize", "--json", "first", "-", "after"], { input });
    expect(code).toBe(0);
    const texts = jsonLines(stdout).map(({ text }) => text);
    expect(texts).toEqual(["first", ...lines, "", "last, without an end", "after"]);
    expect(await run(["tokenize", "-"])).toMatchObject({ code: 0, stdout: "", stderr: "" });
    await refused(["tokenize", "-"], /line 1 of standard input is longer/, { input: "a".repeat(3 << 20) });
  });

  test("a reader that leaves is no error", async () => {
    const input = "a good film\n".repeat(50_000);
    expect(await run(["tokenize", "-", "--json"], { input, closeEarly: true })).toMatchObject({ code: 0, stderr: "" });
  });

  test.skipIf(process.platform === "win32")("Ctrl-C ends it quietly with 130", async () => {
    expect(await run(["tokenize", "-"], { input: "a film\n", signal: "SIGINT" })).toMatchObject({
      code: 130,
      stderr: "",
    });
  });
});

describe("on the GPU", () => {
  let info: Ended;
  beforeAll(async () => {
    info = await run(["info", "--json", ...ADAPTER]);
  });

  test("info describes adapter, features, limits and versions", () => {
    expect([info.code, info.stderr]).toEqual([0, ""]);
    expect(jsonLines(info.stdout)[0]).toMatchObject({
      adapter: { name: expect.any(String), software: expect.any(Boolean) },
      features: expect.any(Array),
      limits: {
        maxStorageBufferBindingSize: expect.any(Number),
        maxComputeInvocationsPerWorkgroup: expect.any(Number),
      },
      dawn: "0.6.2",
      node: process.versions.node,
      platform: `${process.platform} ${process.arch}`,
    });
  });

  test("fill-mask answers each line, warns, and stops at one without a mask", async () => {
    const input = "this [MASK] is funny .\nthe [MASK] was [MASK] .\nno mask\nanother [MASK]\n";
    const args = ["fill-mask", "-", "--json", "--top-k", "2", "--targets", "film, movie,frobnicating", ...ADAPTER];
    const { code, stdout, stderr } = await run(args, { input });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^warning: target "frobnicating" .*\nerror: text 3 has no \[MASK\]: "no mask"\n$/);
    const [one, two, ...more] = jsonLines(stdout) as { text: string; fills: Record<string, unknown>[][] }[];
    expect(more).toEqual([]);
    expect(one!.fills).toMatchObject([[{ token_str: "movie" }, { token_str: "film" }]]);
    expect(one!.fills[0]![0]).toEqual({
      score: expect.closeTo(0.30548, 4),
      token: 272,
      token_str: "movie",
      sequence: "this movie is funny.",
    });
    expect(two!.fills.map((fills) => fills.length)).toEqual([2, 2]);
    expect(two!.fills[0]![0]!.sequence).toBe("[CLS] the film was [MASK]. [SEP]");
  });

  test("classify labels many lines in their order, and says which it cuts", async () => {
    // more than go in one batch
    const texts = Array.from({ length: 66 }, (_, i) => (i % 3 === 0 ? "lifeless" : "gorgeous"));
    const args = ["classify", "-", "word ".repeat(600), "--json", "--top-k", "all", ...ADAPTER];
    const { code, stdout, stderr, lingered } = await run(args, { input: texts.join("\n") });
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: .* 602 tokens, the model takes 512: the rest is left out\n$/);
    expect(lingered).toBeLessThan(3000);
    const answers = jsonLines(stdout) as { text: string; labels: { label: string; score: number }[] }[];
    expect(answers.map(({ text }) => text)).toEqual([...texts, "word ".repeat(600)]);
    answers.forEach(({ labels: [first, second] }, i) => {
      if (i < texts.length) expect(first!.label).toBe(i % 3 === 0 ? "NEGATIVE" : "POSITIVE");
      expect(first!.score + second!.score).toBeCloseTo(1);
    });
  });

  test("embed gives vectors of length 1", async () => {
    const { code, stdout } = await run(["embed", "a film", "a movie", "--json", ...ADAPTER]);
    expect(code).toBe(0);
    const answers = jsonLines(stdout) as { text: string; embedding: number[] }[];
    expect(answers.map(({ text }) => text)).toEqual(["a film", "a movie"]);
    for (const { embedding } of answers) {
      expect(embedding).toHaveLength(192);
      expect(Math.hypot(...embedding)).toBeCloseTo(1, 4);
    }
  });

  test("--dtype f16 runs where the adapter has it and is refused where not", async () => {
    const args = ["classify", "a gorgeous film", "--dtype", "f16", "--json", ...ADAPTER];
    if ((jsonLines(info.stdout)[0]!.features as string[]).includes("shader-f16")) {
      expect(jsonLines((await run(args)).stdout)).toMatchObject([{ labels: [{ label: "POSITIVE" }] }]);
    } else await refused(args, /needs the feature shader-f16, which .* lacks; use f32/);
  });

  test("--dtype fp32 is f32, to the digit, and what it is not is refused with what there is", async () => {
    const args = (dtype: string): string[] => ["classify", "a gorgeous film", "--json", ...ADAPTER, "--dtype", dtype];
    const [plain, spelt] = await Promise.all([run(args("f32")), run(args("fp32"))]);
    expect(spelt).toMatchObject({ code: 0, stdout: plain.stdout });
    await refused(args("fp8"), /argument 'fp8' is invalid. Allowed choices are f32, f16, q8/);
    await refused(["tune", "--dtype", "fp8"], /argument 'fp8' is invalid. Allowed choices are f32, f16\./);
  });

  test("an adapter that is not there is refused, with those that are", async () => {
    await refused(["info", "--adapter", "nonsense"], /no GPU adapter for "nonsense": tried /);
    await refused(["embed", "x", "--adapter", "nonsense"], /no GPU adapter for "nonsense": tried /);
  });

  test("demo shows adapter, model, five fills and labels, with the time", async () => {
    const { code, stdout, stderr } = await run(["demo", "this movie was [MASK] .", ...ADAPTER]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^adapter {2}\S.*\nmodel {4}movie-bert: 3 layers.*\nready after \d+ ms\n/);
    expect(stdout).toMatch(
      /^this movie was \[MASK\] \.\n( +0\.\d{4} {2}\S+ +this movie was \S+\.\n){5}filled in \d+ ms/m,
    );
    expect(stdout).toMatch(/^ +0\.\d{4} (POSITIVE|NEGATIVE) +0\.\d{4} (POSITIVE|NEGATIVE) {2}\S/m);
    expect(stdout).toMatch(/\d+ ms in all\n$/);
  });
});
