/** Gradients and steps against PyTorch's, of the fixtures of training where they are there. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/runtime/engine.ts";
import { testDevice } from "../device.ts";
import type { Finding } from "../reference/fixture.ts";
import { gradientFindings, runFindings } from "./agreement.ts";
import { readFixture } from "./fixtures.ts";

const ROOT = join(import.meta.dirname, "../../../shared/fixtures/training");
const NAMES = [
  "masked-lm",
  "pretraining",
  "nsp-relu",
  "seqcls",
  "seqcls-multilabel",
  "seqcls-regression",
  "tokcls",
  "qa",
];

const fixtures = NAMES.map((name) => [name, readFixture(join(ROOT, name))] as const);
const reason = existsSync(ROOT) ? "" : " (skipped: ../shared/fixtures/training is not there)";

let engine: Engine;
beforeAll(async () => {
  const { device, adapter, idle } = await testDevice();
  engine = await Engine.create({ device, adapter, idle });
});
afterAll(() => engine.dispose());

async function expectAgreement(findings: AsyncGenerator<Finding>): Promise<void> {
  let count = 0;
  const faults: string[] = [];
  for await (const { passed, text } of findings) {
    count++;
    if (!passed) faults.push(text);
  }
  expect(faults).toEqual([]);
  expect(count).toBeGreaterThan(20);
}

describe.each(fixtures)(`%s${reason}`, (_, fixture) => {
  test.skipIf(!fixture)("every parameter's gradient", () => expectAgreement(gradientFindings(engine, fixture!, "f32")));

  const runs = Object.entries(fixture?.expected.runs ?? {});
  test.each(runs)("parameters after the steps of %s", (name, run) =>
    expectAgreement(runFindings(engine, fixture!, name, run)),
  );
});
