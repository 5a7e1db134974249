/**
 * `reference DIR`: runs every fixture below DIR through the public interface and compares it with what is stored beside
 * it. A fixture is a folder with an expected.json of cases: of a model (inputs, float64 outputs, tolerance), of a
 * pipeline of transformers (inputs, kwargs, its exact result, tolerance of scores), of a tokenizer or of a vocabulary that
 * is trained; or with gradients and steps of training beside it.
 */

import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { Command, Option } from "commander";
import type { Engine } from "../../src/node/index.ts";
import { asOption, createEngineAs, type DeviceKind } from "../device_kinds.ts";
import { countLaunches } from "../launches.ts";
import type { Finding, Fixture } from "./fixture.ts";
import { isHeadFixture, runHeadFixture } from "./heads.ts";
import { runModelFixture, whyModelIsSkipped } from "./inference.ts";
import { runTaskFixture, whyTaskIsSkipped } from "./tasks.ts";
import { isTokenizerFixture, runTokenizerFixture } from "./tokenizer.ts";
import { isTrainingFixture, runTrainingFixture, whyTrainingIsSkipped } from "./training.ts";
import { isTrainerFixture, runTrainerFixture } from "./wordpiece_trainer.ts";

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

/** Runs the fixtures below `root` and reports each on a line through `print`. */
export async function runReference(
  engine: Engine,
  root: string,
  dtype: "f32" | "f16",
  print: (line: string) => void,
): Promise<Tally> {
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  for (const folder of await fixtureFolders(root)) {
    const name = relative(root, folder) || folder;
    const fixture = JSON.parse(await readFile(join(folder, "expected.json"), "utf8")) as Fixture;
    const reason = whySkipped(fixture, folder, dtype);
    if (reason) {
      tally.skipped++;
      print(`${name}: skipped, ${reason}`);
      continue;
    }
    const faults: string[] = [];
    let worst = { share: -1, text: "nothing compared" };
    try {
      for await (const finding of findingsOf(engine, folder, fixture, dtype)) {
        tally[finding.passed ? "passed" : "failed"]++;
        if (!finding.passed) faults.push(finding.text);
        if (!(finding.share <= worst.share)) worst = finding;
      }
    } catch (error) {
      tally.failed++;
      faults.push((error as Error).message);
    }
    print(`${name}: ${faults.length === 0 ? "passed" : "FAILED"}, largest ${worst.text}`);
    for (const fault of faults) print(`  ${fault}`);
  }
  return tally;
}

async function fixtureFolders(root: string): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true, recursive: true });
  const folders = entries.filter((e) => e.isFile() && e.name === "expected.json").map((e) => e.parentPath);
  return folders.sort();
}

function whySkipped(fixture: Fixture, folder: string, dtype: "f32" | "f16"): string | undefined {
  if (isTrainingFixture(fixture)) return whyTrainingIsSkipped(fixture, folder);
  if (isTokenizerFixture(fixture) || isTrainerFixture(fixture)) return undefined;
  if (isHeadFixture(fixture)) return dtype === "f16" ? "its tolerance is that of f32" : undefined;
  return fixture.task === undefined ? whyModelIsSkipped(fixture) : whyTaskIsSkipped(fixture, dtype);
}

function findingsOf(engine: Engine, folder: string, fixture: Fixture, dtype: "f32" | "f16"): AsyncGenerator<Finding> {
  if (isTrainingFixture(fixture)) return runTrainingFixture(engine, folder, fixture, dtype);
  if (isTokenizerFixture(fixture)) return runTokenizerFixture(folder, fixture);
  if (isTrainerFixture(fixture)) return runTrainerFixture(folder, fixture);
  if (isHeadFixture(fixture)) return runHeadFixture(engine, folder, fixture);
  return fixture.task === undefined
    ? runModelFixture(engine, folder, fixture, dtype)
    : runTaskFixture(engine, folder, fixture);
}

interface Options {
  readonly adapter: string;
  readonly dtype: "f32" | "f16";
  readonly as?: DeviceKind;
  readonly need?: readonly string[];
}

const program = new Command("reference")
  .description("compare models, pipelines and tokenizers with the fixtures below DIR")
  .argument("<DIR>", "folder of fixtures")
  .option("--adapter <NAME>", "hardware, software, or a part of an adapter's name", "auto")
  .addOption(new Option("--dtype <TYPE>", "storage of weights and activations").choices(["f32", "f16"]).default("f32"))
  .addOption(asOption())
  .option("--need <KERNEL...>", "fail unless such kernels, by beginnings of their names, were launched")
  .action(async (dir: string, { adapter, dtype, as, need = [] }: Options) => {
    const engine = await createEngineAs(as, adapter);
    const launches = countLaunches(engine);
    console.log(`${engine.adapter.name}, ${dtype}${as ? `, kernels as on ${as}` : ""}`);
    const { passed, failed, skipped } = await runReference(engine, dir, dtype, console.log);
    engine.dispose();
    console.log(`launched: ${launches.summary()}`);
    const lacking = launches.lacks(need);
    if (lacking.length > 0) console.log(`FAILED: not launched, though needed: ${lacking.join(", ")}`);
    console.log(`${passed} passed, ${failed + lacking.length} failed, ${skipped} skipped`);
    process.exitCode = failed + lacking.length > 0 || passed === 0 ? 1 : 0;
  });

await program.parseAsync().catch((error: Error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
});
