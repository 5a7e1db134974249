/** `bert-webgpu train`, run as a user runs it, in a folder with data that a tiny model can learn from. */

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { uniforms } from "../../../src/train/initial.ts";

const MAIN = join(import.meta.dirname, "../../../dist/node/main.js");
export const ADAPTER: readonly string[] = ["--adapter", process.env.BERT_WEBGPU_ADAPTER || "auto"];

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  /** Without the line that says the adapter. */
  readonly stderr: string;
}

export type Event = Record<string, unknown> & { readonly event: string };

/** @param meet told of each chunk of standard output */
export async function runTrain(
  cwd: string,
  args: readonly string[],
  meet?: (kill: (signal: NodeJS.Signals) => void, stdout: string) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, "train", ...args], { cwd });
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
      if (stream === "stdout") meet?.((signal) => child.kill(signal), output.stdout);
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  expect(output.stdout + output.stderr).not.toMatch(/^\s+at /m);
  return { code, stdout: output.stdout, stderr: output.stderr.replace(/^(Warning: max|adapter: ).*\n/gm, "") };
}

/** Sends a signal once, when so many steps were told: they may come several in a chunk. */
export function afterSteps(count: number, signal: NodeJS.Signals): NonNullable<Parameters<typeof runTrain>[2]> {
  let sent = false;
  return (kill, stdout) => {
    if (sent || stdout.split('"event":"step"').length <= count) return;
    sent = true;
    kill(signal);
  };
}

export function eventsIn(stdout: string): Event[] {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Event);
}

const SAID = [
  ["bad", "poor", "dull"],
  ["good", "fine", "great"],
  ["new", "long", "short"],
];
const PLAIN = ["the", "film", "was", "a", "story", "of", "its", "time"];
const VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ...SAID.flat(), ...PLAIN];
const LABELS = ["negative", "positive", "neutral"];

/**
 * config.json and tokenizer/ for random weights; reviews.jsonl, 90 rows of three labels, and dev.jsonl and other.jsonl of 30;
 * words.conll, 60 sentences with such words tagged.
 */
export async function trainScratch(): Promise<string> {
  const scratch = await mkdtemp(join(tmpdir(), "bert-webgpu-train-"));
  const file = (name: string, content: string): Promise<void> => writeFile(join(scratch, name), content);
  await mkdir(join(scratch, "tokenizer"));
  await file("tokenizer/vocab.txt", `${VOCABULARY.join("\n")}\n`);
  const config = {
    ...{ model_type: "bert", vocab_size: VOCABULARY.length, hidden_size: 32, num_hidden_layers: 1 },
    ...{ num_attention_heads: 2, intermediate_size: 48, max_position_embeddings: 48, type_vocab_size: 2 },
  };
  await file("config.json", JSON.stringify(config));
  const random = uniforms(5);
  const one = (list: readonly string[]): string => list[Math.floor(random() * list.length)]!;
  const rows = Array.from({ length: 150 }, (_, i) => {
    const words = Array.from({ length: 3 + (i % 4) }, () => one(PLAIN));
    return { text: `${words.join(" ")} ${one(SAID[i % 3]!)} film`, label: LABELS[i % 3]! };
  });
  const lines = (from: number, to: number): string =>
    rows
      .slice(from, to)
      .map((row) => JSON.stringify(row))
      .join("\n");
  await file("reviews.jsonl", lines(0, 90));
  await file("dev.jsonl", lines(90, 120));
  await file("other.jsonl", lines(120, 150));
  const tagOf = (word: string): string => ["B-BAD", "B-GOOD"][SAID.findIndex((said) => said.includes(word))] ?? "O";
  const tagged = rows.slice(0, 60).map(({ text }) => text.split(" ").map((word) => `${word} ${tagOf(word)}`));
  await file("words.conll", tagged.map((sentence) => sentence.join("\n")).join("\n\n"));
  return scratch;
}

export const SCRATCH_MODEL: readonly string[] = ["--config", "config.json", "--tokenizer", "tokenizer"];
