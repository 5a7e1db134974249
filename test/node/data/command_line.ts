/** The built command line, as a user runs it, and what it needs. `npm test` builds dist/. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import type { RowValues } from "../../../src/node/data/rows.ts";
import { openTable } from "../../../src/node/data/table.ts";
import { tinyModel } from "../../bert/tiny.ts";
import type { scratch } from "./scratch.ts";

const MAIN = join(import.meta.dirname, "../../../dist/node/main.js");
const ADAPTER = ["--adapter", process.env.BERT_WEBGPU_ADAPTER || "auto"];
const WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a the good bad film movie is was very so dull bright".split(" ");

/** A tiny model, of nothing learnt. @returns its folder */
export async function writeModel(file: ReturnType<typeof scratch>, name: string, config: object): Promise<string> {
  const path = await file(`${name}/config.json`);
  await mkdir(dirname(path));
  const folder = tinyModel(config);
  for (const part of ["config.json", "model.safetensors"]) {
    const source = (await folder.open(part))!;
    await file(`${name}/${part}`, await source.read(0, source.size));
  }
  await file(
    `${name}/vocab.txt`,
    [...WORDS, ...Array.from({ length: 50 - WORDS.length }, (_, i) => `##${i}`)].join("\n"),
  );
  return dirname(path);
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function run(
  args: readonly string[],
  { input = "", watch }: { input?: string | Uint8Array; watch?: (child: ChildProcess) => Promise<void> } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...args, ...ADAPTER], { cwd: tmpdir() });
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
    });
  }
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  void watch?.(child);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  expect(output.stderr).not.toMatch(/^\s+at /m);
  return { code, stdout: output.stdout, stderr: output.stderr.replace(/^(Warning: max|adapter: ).*\n/gm, "") };
}

export async function rowsOf(path: string): Promise<RowValues[]> {
  const rows: RowValues[] = [];
  for await (const { values } of (await openTable(path)).rows()) rows.push(values!);
  return rows;
}
