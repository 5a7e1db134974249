/**
 * `bert-webgpu train` killed at random moments, and gone on with: every file of the run and of its model is, to the byte,
 * that of a run that nobody killed. A seed draws the moments; a name of the tests tells it.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, watch } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasF16, testDevice } from "../../device.ts";
import { random } from "../../support.ts";

const MAIN = join(import.meta.dirname, "../../../dist/node/main.js");
const ADAPTER = process.env.BERT_WEBGPU_ADAPTER || "auto";
const SEED = Date.now() % 1_000_000;

interface Run {
  readonly name: string;
  readonly args: readonly string[];
  readonly saveLimit?: number;
  /** Of the whole run, what it must have met. */
  meets?(state: State, best: string | undefined): void;
}

/** What is compared of trainer_state.json beside its bytes. */
interface State {
  readonly log_history: readonly Record<string, number>[];
  readonly best_model_checkpoint: string | null;
  readonly global_step: number;
  readonly max_steps: number;
  readonly bert_webgpu: { readonly optimizer: readonly number[]; readonly decisions: { readonly dtype: string } };
}

const RUNS: readonly Run[] = [
  {
    name: "accumulation, dropout, losses told over checkpoints",
    // 13 batches an epoch: the last step of each has one
    args: [
      ...["classify", "--input", "labels.jsonl", "--batch-size", "2", "--gradient-accumulation", "2"],
      ...["--dropout", "0.2", "--epochs", "2", "--save-steps", "4", "--logging-steps", "3"],
    ],
  },
  {
    name: "masks of whole words, batches by tokens, epochs whose lengths are not known",
    args: [
      ...["mlm", "--input", "texts.txt", "--whole-word", "--batch-tokens", "24", "--gradient-accumulation", "2"],
      ...["--max-steps", "14", "--save-steps", "3"],
    ],
  },
  {
    name: "f16 with a loss scale that is too large (f32 where there is no f16)",
    args: [
      ...["classify", "--input", "numbers.jsonl", "--batch-size", "2", "--max-steps", "14", "--save-steps", "2"],
      ...["--dtype", "f16"],
    ],
    meets({ bert_webgpu: { optimizer, decisions } }) {
      const [skipped, scale] = [optimizer[1]!, new Float32Array(Uint32Array.of(optimizer[4]!).buffer)[0]!];
      if (decisions.dtype === "f32") expect([skipped, scale]).toEqual([0, 1]);
      else expect([skipped > 1, scale]).toEqual([true, 65536 / 2 ** skipped]);
    },
  },
  {
    name: "a checkpoint after each step, two kept",
    args: [
      ...["tag", "--input", "words.conll", "--batch-size", "4", "--epochs", "2", "--logging-steps", "2"],
      ...["--save-steps", "1", "--save-limit", "2"],
    ],
    saveLimit: 2,
  },
  {
    name: "the best kept, stopped early",
    args: [
      ...["tag", "--input", "words.conll", "--batch-size", "3", "--epochs", "9", "--save-steps", "3"],
      ...["--eval-split", "0.2", "--eval-steps", "2", "--metric", "accuracy", "--early-stopping", "3"],
      ...["--logging-steps", "4", "--learning-rate", "5e-3"],
    ],
    meets({ global_step, max_steps }, best) {
      expect(global_step).toBeLessThan(max_steps);
      expect(best).not.toBe(`checkpoint-${global_step}`); // the model at the end is another one than the last
    },
  },
];
const KILLS = 10; // of each run
/** To start is most of such a short run, on a software adapter: it compiles. */
const MOMENTS = ["starting", "starting", "starting", "stepping", "writing"] as const;

let scratch: string;
let f16 = false;
beforeAll(async () => {
  f16 = hasF16((await testDevice()).device);
  scratch = await mkdtemp(join(tmpdir(), "bert-webgpu-kills-"));
  const words = "the film was a story of its time and place un ##happy who made it good bad".split(" ");
  const draw = random(5);
  const one = (list: readonly string[]): string => list[Math.floor(draw() * list.length)]!;
  await mkdir(join(scratch, "tokenizer"));
  await file("tokenizer/vocab.txt", `${["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ...words].join("\n")}\n`);
  const config = {
    ...{ model_type: "bert", vocab_size: 5 + words.length, hidden_size: 16, num_hidden_layers: 1 },
    ...{ num_attention_heads: 2, intermediate_size: 16, max_position_embeddings: 16, type_vocab_size: 2 },
  };
  await file("config.json", JSON.stringify(config));
  const rows = Array.from({ length: 26 }, (_, i) => ({
    text: [...Array.from({ length: i % 3 === 0 ? 7 : 4 }, () => one(words.slice(0, 10))), one(["good", "bad"])].join(
      " ",
    ),
  }));
  const lines = (list: readonly object[]): string => list.map((row) => JSON.stringify(row)).join("\n");
  await file(
    "labels.jsonl",
    lines(rows.map(({ text }) => ({ text, label: `${text.length > 22} ${text.endsWith("good")}` }))),
  );
  const tagged = rows.map(({ text }) =>
    text.split(" ").map((word) => `${word} ${["a", "b", "c", "d"][word.length % 4]}`),
  );
  await file("words.conll", tagged.map((sentence) => sentence.join("\n")).join("\n\n"));
  await file("numbers.jsonl", lines(rows.map(({ text }, i) => ({ text, label: 40.5 + (i % 5) }))));
  await file("texts.txt", rows.map(({ text }) => text.replace("story", "unhappy")).join("\n"));
});
afterAll(() => rm(scratch, { recursive: true }));

const file = (name: string, content: string): Promise<void> => writeFile(join(scratch, name), content);

/** Two at a time: more processes than cores only keep each other from their work. */
let free = 2;
const waiting: (() => void)[] = [];

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (free > 0) free--;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else free++;
  }
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

/** @param meet what is to be done with the process while it runs */
const start = (
  run: Run,
  output: string,
  more: readonly string[],
  meet?: (child: ChildProcess) => void,
): Promise<Ended> => inTurn(() => startNow(run, output, more, meet));

async function startNow(
  { args }: Run,
  output: string,
  more: readonly string[],
  meet: ((child: ChildProcess) => void) | undefined,
): Promise<Ended> {
  const own = f16 ? args : args.map((arg) => (arg === "f16" ? "f32" : arg));
  const [kind, ...options] = own as [string, ...string[]];
  const given = [kind, "--config", "config.json", "--tokenizer", "tokenizer", ...options, "--output", output];
  const child = spawn(process.execPath, [MAIN, "train", ...given, "--json", "--adapter", ADAPTER, ...more], {
    cwd: scratch,
  });
  let stderr = "";
  child.stdout.resume();
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  meet?.(child);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (...ended) => resolve(ended));
  });
  return { code, signal, stderr };
}

/** Ends a process at a moment that is drawn. @param startup milliseconds until the first step */
function killer(dir: string, startup: number, draw: () => number): (child: ChildProcess) => void {
  const moment = MOMENTS[Math.floor(draw() * MOMENTS.length)]!;
  const [count, delay] = [1 + Math.floor(draw() * 4), draw()];
  return (child) => {
    const kill = (milliseconds: number): void => {
      setTimeout(() => child.kill("SIGKILL"), milliseconds);
    };
    if (moment === "starting") kill(delay * startup);
    if (moment === "stepping") {
      let stdout = "";
      child.stdout!.setEncoding("utf8").on("data", (text: string) => {
        const before = stdout.split('"event":"step"').length;
        stdout += text;
        if (before <= count && stdout.split('"event":"step"').length > count) kill(delay * 50);
      });
    }
    if (moment === "writing") {
      let seen = 0;
      const watcher = watch(dir, (_, name) => {
        if (name?.endsWith(".unfinished") && ++seen === count) kill(delay * 10);
      });
      child.on("close", () => watcher.close());
    }
  };
}

const PARTS = ["config.json", "model.safetensors", "optimizer.safetensors", "trainer_state.json", "vocab.txt"];

async function filesIn(dir: string): Promise<ReadonlyMap<string, Buffer>> {
  const names = (await readdir(dir, { withFileTypes: true })).filter((entry) => entry.isFile());
  const read = async ({ name }: { name: string }) => [name, await readFile(join(dir, name))] as const;
  return new Map(await Promise.all(names.map(read)));
}

const stepOf = (checkpoint: string): number => Number(checkpoint.slice("checkpoint-".length));
const checkpointsIn = async (dir: string): Promise<string[]> =>
  (await readdir(dir)).filter((name) => name.startsWith("checkpoint-")).sort((a, b) => stepOf(a) - stepOf(b));

/** All that a run is held against: each of its checkpoints, which of them are left at its end, the model. */
interface Whole {
  readonly checkpoints: ReadonlyMap<string, ReadonlyMap<string, Buffer>>;
  readonly left: readonly string[];
  readonly model: ReadonlyMap<string, Buffer>;
  readonly startup: number;
}

async function wholeRun(run: Run, output: string): Promise<Whole> {
  const dir = join(scratch, output);
  let startup = 0;
  // all checkpoints are kept, so that those of the runs that are killed have something to be compared with
  const { code, stderr } = await start(run, output, ["--save-limit", "99"], (child) => {
    const begun = performance.now();
    child.stdout!.once("data", () => {
      startup = performance.now() - begun;
    });
  });
  expect(stderr, "of the whole run").not.toMatch(/^error/m);
  expect(code).toBe(0);
  const names = await checkpointsIn(dir);
  const checkpoints = new Map<string, ReadonlyMap<string, Buffer>>();
  for (const name of names) checkpoints.set(name, await filesIn(join(dir, name)));
  const state = JSON.parse(checkpoints.get(names.at(-1)!)!.get("trainer_state.json")!.toString()) as State;
  const best = state.best_model_checkpoint ?? undefined;
  run.meets?.(state, best);
  for (const files of checkpoints.values()) expect([...files.keys()]).toEqual(expect.arrayContaining(PARTS));
  const last = names.slice(-(run.saveLimit ?? 1));
  return {
    checkpoints,
    left: names.filter((name) => last.includes(name) || name === best),
    model: await filesIn(dir),
    startup,
  };
}

/** What is listed is whole, at any time. */
async function expectWhole(dir: string, { checkpoints }: Whole): Promise<void> {
  for (const name of await checkpointsIn(dir)) {
    const files = await filesIn(join(dir, name));
    expect([...files.keys()].sort(), name).toEqual([...checkpoints.get(name)!.keys()].sort());
    for (const [part, bytes] of files) expectSame(bytes, checkpoints.get(name)?.get(part), `${name}/${part}`);
  }
}

/** The run is over, and nothing tells that it was killed. */
async function expectEnded(output: string, whole: Whole): Promise<void> {
  const dir = join(scratch, output);
  await expectWhole(dir, whole);
  expect(await checkpointsIn(dir)).toEqual(whole.left);
  const files = await filesIn(dir);
  expect([...files.keys()].sort()).toEqual([...whole.model.keys()].sort());
  for (const [name, bytes] of files) {
    if (name !== "README.md") expectSame(bytes, whole.model.get(name), name);
    else expect(cardOf(bytes)).toBe(cardOf(whole.model.get(name)!));
  }
  expect((await readdir(dir)).filter((name) => name.startsWith("."))).toEqual([]);
  expect(existsSync(`${dir}.lock`)).toBe(false);
}

/** README.md but for the folder's name, and for how many checkpoints were kept. */
const cardOf = (bytes: Buffer): string => bytes.toString().replace(/^# .*$|--save-limit \| \d+/gm, "");

function expectSame(got: Buffer, want: Buffer | undefined, what: string): void {
  if (want && got.equals(want)) return;
  if (what.endsWith(".json")) expect(got.toString(), what).toBe(want?.toString()); // to see in what
  expect.fail(`${what}: ${got.length} bytes, other than the ${want?.length} of the run that was not killed`);
}

let interrupted = 0; // while something was being written
let kills = 0;

const TITLE = `kill -9 at ${RUNS.length * KILLS} moments (seed ${SEED})`;

describe.concurrent(TITLE, { timeout: 600_000 }, () => {
  test.for(RUNS.map((run, i) => [run.name, run, i] as const))("%s", async ([, run, i]) => {
    const draw = random(SEED + i);
    const whole = await wholeRun(run, `whole-${i}`);
    let own = 0;
    for (let chain = 0; own < KILLS; chain++) {
      const output = `${i}-${chain}`;
      const dir = join(scratch, output);
      await mkdir(dir);
      for (let ended: Ended | undefined; !ended || ended.signal !== null; ) {
        const resume = ["--resume"]; // also of a run that was killed before it had written anything
        ended = await start(run, output, resume, own < KILLS ? killer(dir, whole.startup, draw) : undefined);
        expect(ended.stderr).not.toMatch(/^error/m); // such as of a lock
        await expectWhole(dir, whole);
        if (ended.signal === null) expect(ended.code, ended.stderr).toBe(0);
        else {
          expect(ended.signal).toBe("SIGKILL");
          own++;
          if ((await readdir(dir)).some((name) => /^\..+\.(unfinished|replaced)$/.test(name))) interrupted++;
        }
      }
      await expectEnded(output, whole);
    }
    kills += own;
  });
});

test("kills came while checkpoints were written", () => {
  expect(kills).toBe(RUNS.length * KILLS);
  expect(interrupted).toBeGreaterThan(0);
});
