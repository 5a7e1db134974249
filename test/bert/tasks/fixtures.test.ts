/** Every pipeline of the text fixtures, as `reference` runs them. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";
import { agreementOf } from "../../reference/agreement.ts";
import type { Finding, Fixture } from "../../reference/fixture.ts";
import { runTaskFixture, whyTaskIsSkipped } from "../../reference/tasks.ts";

const ROOT = join(import.meta.dirname, "../../../../shared/fixtures/text");
const here = existsSync(ROOT);
const names = here ? readdirSync(ROOT).filter((name) => !name.startsWith("tokenizer-")) : ["text fixtures"];

describe.skipIf(!here)(`results of transformers${here ? "" : " (skipped: needs ../shared/fixtures)"}`, () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await Engine.create(await testDevice());
  });
  afterAll(() => engine.dispose());

  test.each(names)("%s", async (name) => {
    const folder = join(ROOT, name);
    const fixture = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as Fixture;
    expect(whyTaskIsSkipped(fixture, "f32")).toBeUndefined();
    const findings: Finding[] = [];
    for await (const finding of runTaskFixture(engine, folder, fixture)) findings.push(finding);
    expect(findings.length).toBeGreaterThanOrEqual(fixture.cases!.length);
    expect(findings.filter(({ passed }) => !passed).map(({ text }) => text)).toEqual([]);
  });
});

describe("the comparison", () => {
  const expected = { entities: [{ label: "PER", score: 0.5, start: 3 }], sequence: "x" };

  test("lets scores differ, and says by how much", () => {
    const actual = { sequence: "x", entities: [{ start: 3, score: 0.5001, label: "PER" }] };
    expect(agreementOf(actual, expected)).toEqual({ error: expect.closeTo(1e-4), fault: undefined });
    expect(
      agreementOf({ ...actual, entities: [{ label: "PER", score: Number.NaN, start: 3 }] }, expected).error,
    ).toBeNaN();
  });

  test("lets nothing else differ", () => {
    for (const [actual, where] of [
      [
        { ...expected, entities: [{ label: "LOC", score: 0.5, start: 3 }] },
        /\.entities\[0\]\.label is "LOC", "PER" exp/,
      ],
      [{ ...expected, entities: [{ label: "PER", score: 0.5, start: 4 }] }, /\.start is 4, 3 expected/],
      [{ ...expected, entities: [{ label: "PER", score: null, start: 3 }] }, /\.score is null/],
      [{ ...expected, entities: [] }, /the length of \.entities is 0, 1 expected/],
      [{ ...expected, entities: [{ label: "PER", score: 0.5, start: 3, end: 5 }] }, /what \.entities\[0\] has/],
      [{ entities: expected.entities }, /what the result has/],
      [undefined, /the result is undefined/],
    ] as const) {
      expect(agreementOf(actual, expected).fault).toMatch(where);
    }
  });
});
