/** weights/train.mjs, run as a user runs it, on a few sentences and with a model that is trained in a moment. */

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../../src/files/checkpoint.ts";
import { openFolder } from "../../../src/node/folder.ts";
import { ADAPTER, type Ended } from "./command.ts";

const SCRIPT = join(import.meta.dirname, "../../../weights/train.mjs");
const LABELS = { id2label: { 0: "NEGATIVE", 1: "POSITIVE" }, label2id: { NEGATIVE: 0, POSITIVE: 1 } };
const CONFIG = {
  ...{ model_type: "bert", hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 48 },
  ...{ max_position_embeddings: 64, type_vocab_size: 2, ...LABELS },
};
const WORDS = [
  "a",
  "dull",
  "lovely",
  "film",
  "the",
  "story",
  "is",
  "and",
  "long",
  "short",
  "joke",
  "of",
  "café",
  "=",
  ".",
];

const FILES = {
  "sst2/train.tsv": "sentence\tlabel\na dull film \t0\na lovely film .\t1\nThe story , is long !\t0\n",
  "sst2/dev.tsv": "sentence\tlabel\nshort and lovely \t1\n",
  "sst2/validation.tsv": "sentence\tlabel\nthe story is long .\t0\na lovely joke .\t1\n", // the first is in train.tsv, too
  "rt-polarity/rt-polarity.neg": "a dull and long story . \na joke of a café . \n",
  "rt-polarity/rt-polarity.pos": "a short and lovely story . \n",
  "wikitext-2/valid.txt": " = A = \n\n a film is a story of a long and dull joke . \n a film . \n",
  "wikitext-2/test.txt": "",
};

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "bert-webgpu-movie-"));
  const vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ...WORDS];
  const config = JSON.stringify({ ...CONFIG, vocab_size: vocabulary.length });
  const like = { "like/config.json": config, "like/vocab.txt": vocabulary.join("\n") };
  for (const [path, text] of Object.entries({ ...FILES, ...like })) {
    await mkdir(join(scratch, dirname(path)), { recursive: true });
    await writeFile(join(scratch, path), text, path.startsWith("rt") ? "latin1" : "utf8");
  }
});
afterAll(() => rm(scratch, { recursive: true }));

/** @param interruptAt Ctrl-C comes when standard output has this */
async function run(args: readonly string[], interruptAt?: string): Promise<Ended> {
  const child = spawn(process.execPath, [SCRIPT, ...args, ...ADAPTER], { cwd: scratch });
  const output = { stdout: "", stderr: "" };
  let interrupted = false;
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
      if (interrupted || interruptAt === undefined || !output.stdout.includes(interruptAt)) return;
      interrupted = true;
      child.kill("SIGINT");
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { code, ...output };
}

const tiny = (out: string): string[] => ["--data", ".", "--out", out, "--like", "like", "--steps", "60"];
const weightsOf = (out: string): Promise<Buffer> => readFile(join(scratch, out, "model/model.safetensors"));

test("without the data it says what is missing", async () => {
  expect(await run([])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^give --data DIR and --out DIR; .*\n$/),
  });
  const nowhere = await run(["--data", "nowhere", "--out", "none"]);
  expect(nowhere).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/nowhere\/sst2\/\S+'; weights\/README.md .*\n$/),
  });
});

describe("on a few sentences", () => {
  let whole: Ended;
  beforeAll(async () => {
    whole = await run(tiny("whole"));
  });

  test("it trains both heads and measures them", async () => {
    expect(whole.code, whole.stderr).toBe(0);
    // of the seven labelled rows one is a sentence of the validation part; masked are one phrase, thrice each of three reviews, and one other
    expect(whole.stdout).toMatch(/; 6 labelled rows in \d+ steps, 11 to mask words in \d+$/m);
    expect(whole.stdout).toMatch(/^step 50\/60: loss of words \d\.\d{3}, of labels \d\.\d{3} \(\d+ of 50 steps\), /m);
    expect(whole.stdout).toMatch(
      /^step 60\/60: [\s\S]*^2 rows\naccuracy {2}[\s\S]*^2 rows\ntop 1 .*\n.*\nmasked pieces {2}1/m,
    );
    const files = ["config.json", "model.safetensors", "vocab.txt"];
    expect((await readdir(join(scratch, "whole/model"))).sort()).toEqual(files);
    const config = JSON.parse(await readFile(join(scratch, "whole/model/config.json"), "utf8"));
    const architectures = ["BertForMaskedLM", "BertForSequenceClassification"];
    expect(config).toMatchObject({ architectures, dtype: "float16", ...LABELS });
  });

  test("interrupted, it goes on to the same bits, which are those of the checkpoint in F16", async () => {
    const first = await run(tiny("parted"), "step 50/60");
    expect(first.code, first.stderr).toBe(130);
    expect(first.stdout).toMatch(/^interrupted after step 5\d: it is saved, --resume goes on\n$/m);
    const refused = await run(tiny("parted"));
    expect(refused).toMatchObject({ code: 2, stderr: "parted: it is not empty; --resume goes on with its run\n" });
    const second = await run([...tiny("parted"), "--resume"]);
    expect(second.code, second.stderr).toBe(0);
    expect(second.stdout).toMatch(/^going on from checkpoint-5\d$/m);
    expect((await weightsOf("parted")).equals(await weightsOf("whole"))).toBe(true);
  });

  test("weights are written in F16", async () => {
    const last = (await readdir(join(scratch, "whole"))).find((name) => name.startsWith("checkpoint"))!;
    const [model, checkpoint] = await Promise.all(
      ["whole/model", `whole/${last}`].map((path) => openCheckpoint(openFolder(join(scratch, path)))),
    );
    expect([...model!.tensors.keys()].sort()).toEqual([...checkpoint!.tensors.keys()].sort());
    for (const [name, { dtype, shape }] of model!.tensors) {
      expect([dtype, shape]).toEqual(["F16", checkpoint!.tensors.get(name)!.shape]);
      const bits: number[] = [];
      for await (const slice of checkpoint!.chunks(name, "f16")) bits.push(...(slice as Uint16Array));
      const stored = await model!.read(name);
      expect(Array.from(stored as ArrayLike<number>), name).toEqual(bits);
    }
    await Promise.all([model!.close(), checkpoint!.close()]);
  });
});
