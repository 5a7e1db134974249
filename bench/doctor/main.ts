/** `doctor`: whether this GPU computes what it must, kernel by kernel, and how fast. One JSON tells it all. */

import { join } from "node:path";
import { Command } from "commander";
import { positiveInteger } from "../../src/node/cli/command.ts";
import { reportFailure } from "../../src/node/cli/failure.ts";
import { catchInterruption } from "../../src/node/cli/interruption.ts";
import { print, say } from "../../src/node/cli/output.ts";
import { dawnVersion, packageVersion } from "../../src/node/cli/package.ts";
import { barsOn, progress } from "../../src/node/cli/progress_bar.ts";
import { withClaim, writeOutput } from "../../src/node/data/claim.ts";
import { harmless } from "../../src/node/terminal.ts";
import { storeAvoided, tuningFile } from "../../src/node/tuning.ts";
import { type BenchFinding, type Findings, isFault, type KernelFinding, type ModelFinding } from "./findings.ts";
import { type Supervised, supervise } from "./supervise.ts";
import { findingsText } from "./text.ts";

interface DoctorOptions {
  readonly json: boolean;
  readonly adapter: string;
  readonly output: string;
  readonly budget?: number;
  readonly dryRun: boolean;
}

async function doctor({ json, adapter, output, budget, dryRun }: DoctorOptions): Promise<void> {
  const start = performance.now();
  const interruption = catchInterruption();
  const bar = progress("examining", barsOn({ json }));
  // before anything is examined: whether the file can be written
  await withClaim(json ? undefined : output, { shared: true }, async (claim) => {
    const supervised = await supervise({
      script: join(import.meta.dirname, "doctor_worker.js"),
      adapter,
      budget: budget && budget * 1000,
      signal: interruption.signal,
      onStep: (step, of) => bar.at(step / of),
    }).finally(bar.end);
    const interrupted = interruption.signal.aborted;
    interruption.end();
    if (supervised.subject === undefined && !interrupted) throw new RangeError(supervised.fault);
    const avoided = await avoidedAfter(supervised, dryRun);
    const findings = findingsOf(supervised, interrupted, avoided, performance.now() - start);
    const text = `${JSON.stringify(findings, null, 1)}\n`;
    if (claim) await writeOutput(claim, (write) => write(text));
    if (json) await print(text.trimEnd());
    else for (const line of findingsText(findings)) await print(line);
    if (claim) say(`${output} has it all: attach it to an issue`);
    process.exitCode = interrupted ? interruption.exitCode() : findings.verdict === "faulty" ? 1 : 0;
  });
}

/** Faulty kernels that have an alternative go on the adapter's list, those that are right again leave it. */
async function avoidedAfter({ subject, findings }: Supervised, dryRun: boolean): Promise<Findings["avoided"]> {
  if (subject === undefined || dryRun) return { kernels: [], file: undefined };
  const kernels = findings.filter((each) => each.type === "kernel");
  const wrong = kernels.filter((each) => isFault(each) && each.replaceable).map(({ name }) => name);
  const right = kernels.filter(({ name, status }) => status === "right" && !wrong.includes(name));
  const file = tuningFile();
  const listed = await storeAvoided(subject.adapter, { wrong, right: right.map(({ name }) => name) }, file);
  return { kernels: listed, file };
}

function findingsOf(
  { subject, findings, fault }: Supervised,
  interrupted: boolean,
  avoided: Findings["avoided"],
  ms: number,
): Findings {
  const faulty = fault !== undefined || findings.some(isFault);
  const skipped = findings.some(({ status }) => status === "skipped");
  return {
    tool: "bert-webgpu doctor",
    version: 1,
    date: new Date().toISOString(),
    versions: {
      "bert-webgpu": packageVersion(),
      dawn: dawnVersion(),
      node: process.versions.node,
      platform: `${process.platform} ${process.arch}`,
    },
    subject,
    verdict: interrupted ? "interrupted" : faulty ? "faulty" : skipped ? "incomplete" : "well",
    seconds: Math.round(ms / 1e3),
    kernels: findings.filter((each): each is KernelFinding => each.type === "kernel"),
    models: findings.filter((each): each is ModelFinding => each.type === "model"),
    bench: findings.filter((each): each is BenchFinding => each.type === "bench"),
    ...(fault !== undefined && { fault }),
    avoided,
  };
}

const program = new Command("doctor")
  .description("check every kernel and the shipped model on this GPU, and measure a little: one JSON for an issue")
  .option("--json", "the JSON on standard output, in place of a file and a table", false)
  .option("--adapter <NAME>", "auto, hardware, software, or a part of an adapter's name", "auto")
  .option("--output <FILE>", "where the JSON goes", "bert-webgpu-doctor.json")
  .option("--budget <SECONDS>", "in all (default: two minutes, five for a software adapter)", positiveInteger)
  .option("--dry-run", "put no kernel on the adapter's list of those to avoid", false)
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(`${harmless(text.trim().replaceAll("\n", " "))}\n`) })
  .action(doctor);

process.stdout.on("error", () => process.exit()); // whoever read us has had enough, as `| head` has
await program.parseAsync().catch((error: unknown) => {
  process.exitCode = reportFailure(error);
});
