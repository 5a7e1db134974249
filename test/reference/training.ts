/** Fixtures of training, by what each holds: the gradients of one batch, steps on it, or a whole curve. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Engine } from "../../src/node/index.ts";
import { curveFindings, gradientFindings, runFindings } from "../train/agreement.ts";
import { type ExpectedCurve, readFixture } from "../train/fixtures.ts";
import { type ExpectedLora, loraFindings } from "../train/lora_agreement.ts";
import type { Finding, Fixture } from "./fixture.ts";

/** An expected.json with gradients or with a curve; adapters have other ones. */
export function isTrainingFixture({ gradient, optimizer }: Fixture): boolean {
  return gradient !== undefined || optimizer !== undefined;
}

export function whyTrainingIsSkipped(fixture: Fixture, folder: string): string | undefined {
  const { architecture, losses, gradient, loss_function: ofSentences } = fixture;
  if (!ofSentences && !/^BertFor/.test(architecture ?? "")) return `training of ${architecture ?? "it"} is not run`;
  const runs = losses !== undefined || existsSync(join(folder, "adapter")) || (gradient as { file?: string }).file;
  return runs ? undefined : "its loss is not run";
}

export async function* runTrainingFixture(
  engine: Engine,
  folder: string,
  { optimizer }: Fixture,
  dtype: "f32" | "f16",
): AsyncGenerator<Finding> {
  if (optimizer !== undefined) {
    yield* curveFindings(engine, readFixture<ExpectedCurve>(folder)!, dtype);
    return;
  }
  if (existsSync(join(folder, "adapter"))) {
    yield* loraFindings(engine, readFixture<ExpectedLora>(folder)!, dtype);
    return;
  }
  const fixture = readFixture(folder)!;
  yield* gradientFindings(engine, fixture, dtype);
  if (dtype === "f16") return; // weights after steps are those of f32
  const runs = Object.entries(fixture.expected.runs ?? {});
  for (const [name, run] of runs) yield* runFindings(engine, fixture, name, run);
  if (!fixture.expected.gradient_accumulation) return;
  const [name, run] = runs.find(([, { schedule }]) => schedule === "constant")!;
  yield* runFindings(engine, fixture, name, run, true);
}
