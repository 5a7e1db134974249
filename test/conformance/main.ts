/** `conformance DIR`: runs the operator vectors (.jsonl, .jsonl.gz) below DIR through the kernels. */

import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { createInterface } from "node:readline";
import { createGunzip } from "node:zlib";
import { Command } from "commander";
import type { Engine } from "../../src/node/index.ts";
import { asOption, createEngineAs, type DeviceKind } from "../device_kinds.ts";
import { countLaunches } from "../launches.ts";
import { OPERATORS } from "./operators.ts";
import { Skip } from "./skip.ts";
import { mismatch, type VectorRecord } from "./vectors.ts";

type Outcome = { readonly status: "passed" } | { readonly status: "failed" | "skipped"; readonly reason: string };

/** Runs one record. f16 cases run in f16 where the device has it, else in f32 at the same tolerance. */
export async function runRecord(engine: Engine, record: VectorRecord): Promise<Outcome> {
  const operator = OPERATORS[record.op] ?? `op ${record.op} is not offered`;
  if (typeof operator === "string") return { status: "skipped", reason: operator };
  if ([...record.inputs, ...record.outputs].some(({ shape }) => shape.includes(0))) {
    return { status: "skipped", reason: "empty tensors are not dispatched" };
  }
  const half = record.inputs.some(({ dtype }) => dtype === "float16");
  try {
    const actual = await operator(engine, record, half && engine.hasF16 ? "f16" : "f32");
    const reason = mismatch(actual, record.outputs[0]!, record.tolerance);
    return reason === undefined ? { status: "passed" } : { status: "failed", reason };
  } catch (error) {
    const reason = (error as Error).message;
    return { status: error instanceof Skip ? "skipped" : "failed", reason };
  }
}

async function* recordsOf(file: string): AsyncGenerator<VectorRecord> {
  const bytes = createReadStream(file);
  const lines = createInterface({
    input: file.endsWith(".gz") ? bytes.pipe(createGunzip()) : bytes,
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  let number = 0;
  for await (const line of lines) {
    number++;
    if (line.trim() === "") continue;
    try {
      yield JSON.parse(line) as VectorRecord;
    } catch (error) {
      throw new Error(`${file}, line ${number}: ${(error as Error).message}`);
    }
  }
}

interface Options {
  readonly adapter: string;
  readonly as?: DeviceKind;
}

async function runConformance(dir: string, { adapter, as }: Options): Promise<void> {
  const entries = await readdir(dir, { withFileTypes: true, recursive: true });
  const files = entries
    .filter((entry) => entry.isFile() && /\.jsonl(\.gz)?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const engine = await createEngineAs(as, adapter);
  const launches = countLaunches(engine);
  console.log(`${engine.adapter.name}${as ? `, kernels as on ${as}` : ""}`);
  const tally = { passed: 0, failed: 0, skipped: 0 };
  for (const file of files) {
    const own = { passed: 0, failed: 0, skipped: 0 };
    const reasons = new Map<string, number>();
    let other = false;
    for await (const record of recordsOf(file)) {
      if (!record.op || !Array.isArray(record.inputs)) {
        other = true; // not operator vectors
        break;
      }
      const outcome = await runRecord(engine, record);
      own[outcome.status]++;
      if (outcome.status === "failed") console.log(`  FAILED ${record.id}: ${outcome.reason}`);
      if (outcome.status === "skipped") reasons.set(outcome.reason, (reasons.get(outcome.reason) ?? 0) + 1);
    }
    if (other) continue;
    for (const status of ["passed", "failed", "skipped"] as const) tally[status] += own[status];
    console.log(`${relative(dir, file)}: ${own.passed} passed, ${own.failed} failed, ${own.skipped} skipped`);
    for (const [reason, count] of reasons) console.log(`  ${count} skipped: ${reason}`);
  }
  engine.dispose();
  console.log(`launched: ${launches.summary()}`);
  console.log(`${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
  process.exitCode = tally.failed > 0 || tally.passed === 0 ? 1 : 0;
}

const program = new Command("conformance")
  .description("run operator vectors (JSON Lines, also .gz) through the kernels")
  .argument("<DIR>", "folder of .jsonl or .jsonl.gz files")
  .option("--adapter <NAME>", "hardware, software, or a part of an adapter's name", "auto")
  .addOption(asOption())
  .action(runConformance);

await program.parseAsync().catch((error: Error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
});
