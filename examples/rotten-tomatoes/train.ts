/**
 * A small BERT from scratch on the Rotten Tomatoes sentences of Pang and Lee (2005): a vocabulary, a masked language model, a
 * classifier, its accuracy. Every step is a command of bert-webgpu; docs/rotten-tomatoes.md says more.
 *
 *   node dist/examples/rotten-tomatoes/train.js --data DIR [--out DIR] [--steps N] [--config FILE] [--adapter NAME] [--resume]
 */

import { spawn } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

/** From dist/examples/rotten-tomatoes. */
const COMMAND = join(import.meta.dirname, "../../node/main.js");

const WHERE =
  "--data DIR is to have rt-polarity.neg and rt-polarity.pos, of https://www.cs.cornell.edu/people/pabo/movie-review-data/rt-polaritydata.tar.gz";

const VOCABULARY = 8000;

const CONFIG = {
  ...{ model_type: "bert", hidden_size: 384, num_hidden_layers: 6, num_attention_heads: 6, intermediate_size: 1024 },
  ...{ max_position_embeddings: 128, type_vocab_size: 2, hidden_dropout_prob: 0.1, attention_probs_dropout_prob: 0.1 },
};

const LEARNING = ["--batch-size", "32", "--epochs", "5", "--learning-rate", "1e-4"];

try {
  await main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 2;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: "string" },
      out: { type: "string", default: "rotten-tomatoes" },
      steps: { type: "string" }, // in place of the epochs, of both models
      config: { type: "string" }, // config.json of another size
      adapter: { type: "string", default: "auto" },
      resume: { type: "boolean", default: false },
    },
  });
  const { data, out, steps, config, adapter, resume } = values;
  if (data === undefined) throw new Error(WHERE);
  const parts = await readParts(data);
  await mkdir(out, { recursive: true });
  if (!resume && (await readdir(out)).length > 0)
    throw new Error(`${out}: it is not empty; --resume goes on with its run`);
  const file = (name: string): string => join(out, name);
  for (const [name, rows] of Object.entries(parts)) {
    await writeFile(file(`${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }

  const vocabulary = ["--vocab-size", String(VOCABULARY), ...(resume ? ["--force"] : [])]; // the same again, in a second
  await run("train", "tokenizer", "--input", file("train.jsonl"), "--output", file("tokenizer"), ...vocabulary);
  const tokens = (await readFile(file("tokenizer/vocab.txt"), "utf8")).trimEnd().split("\n").length;
  const shape = config === undefined ? CONFIG : JSON.parse(await readFile(config, "utf8"));
  await writeFile(file("config.json"), JSON.stringify({ ...shape, vocab_size: tokens }, undefined, 2));

  for (const kind of ["mlm", "classify"]) {
    console.error(`\n${kind}`);
    await run(
      ...["train", kind, "--config", file("config.json"), "--tokenizer", file("tokenizer")],
      ...["--input", file("train.jsonl"), "--eval-input", file("validation.jsonl"), "--adapter", adapter, ...LEARNING],
      ...["--output", file(kind), "--report", file(`${kind}.html`)],
      ...(steps === undefined ? [] : ["--max-steps", steps]),
      ...(resume ? ["--resume"] : []),
    );
  }

  console.error("\ntest");
  const judged = ["--input", file("test.jsonl"), "--model", file("classify"), "--adapter", adapter];
  await run("evaluate", "--task", "text-classification", ...judged);
}

interface Row {
  readonly text: string;
  readonly label: "neg" | "pos";
}

/** The parts that the data set `rotten_tomatoes` of the hub has: 80, 10 and 10 in a hundred of each file, as they lie. */
async function readParts(dir: string): Promise<Record<"train" | "validation" | "test", Row[]>> {
  const parts = { train: [] as Row[], validation: [] as Row[], test: [] as Row[] };
  for (const label of ["pos", "neg"] as const) {
    const path = join(dir, `rt-polarity.${label}`);
    const content = await readFile(path, "latin1").catch((error: Error) => {
      throw new Error(`${error.message}; ${WHERE}`);
    });
    const rows = content
      .trimEnd()
      .split("\n")
      .map((line) => ({ text: line.trim(), label }));
    const [first, second] = [0.8, 0.9].map((share) => Math.round(rows.length * share));
    parts.train.push(...rows.slice(0, first));
    parts.validation.push(...rows.slice(first, second));
    parts.test.push(...rows.slice(second));
  }
  return parts;
}

/** Runs a command of bert-webgpu to its end, and ends as it does where it fails or is interrupted. */
async function run(...args: string[]): Promise<void> {
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: "inherit" });
  const wait = (): void => {}; // the terminal sends Ctrl-C to the child as well: `train` saves, and says how to go on
  const pass = (): boolean => child.kill("SIGTERM");
  process.on("SIGINT", wait).on("SIGTERM", pass);
  const code = await new Promise<number>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
  });
  process.off("SIGINT", wait).off("SIGTERM", pass);
  if (code !== 0) process.exit(code);
}
