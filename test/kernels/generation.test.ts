/** The kernels that decode against their CPU twins, and what these draw against the probabilities that they draw from. */
import { describe, expect, test } from "vitest";
import type { Scalar } from "../../src/kernels/kernel.ts";
import * as generation from "../../src/kernels/reference/generation.ts";
import { hasF16, testDevice } from "../device.ts";
import * as tables from "../generation_cases.ts";
import { check } from "./harness.ts";

const { device } = await testDevice();

describe.each<Scalar>(["f32", "f16"])("%s", (dtype) => {
  const reason = dtype === "f16" && !hasF16(device) ? " (skipped: the adapter has no shader-f16)" : "";
  describe.skipIf(reason !== "")(`against the CPU twin${reason}`, () => {
    checkAll("step_tokens", tables.stepTokensCases);
    checkAll("cached_attention", tables.cachedAttentionCases);
    checkAll("source_attention", tables.sourceAttentionCases);
    checkAll("token_rules", tables.tokenRulesCases);
    checkAll("sample_keys", tables.sampleKeysCases);
    checkAll("choose_tokens", tables.chooseTokensCases);
    checkAll("choose_beams", tables.chooseBeamsCases);
  });

  function checkAll<Shape extends { readonly dtype: Scalar }>(
    name: string,
    table: Omit<Parameters<typeof check<Shape>>[2], "typical">,
  ): void {
    test.each(table.cases.map((of) => [JSON.stringify(of.shape), of] as const))(`${name} %s`, async (_, of) => {
      const shape = { ...of.shape, dtype } as Shape;
      for (const kernel of table.kernels(shape)) await check(device, kernel, { ...table, typical: [] }, of, dtype);
    });
  }
});

test("draws come as often as softmax says, and none of what top-k leaves out", () => {
  const scores = [2, 1, 0, -1, 0.5];
  const times = 4000;
  const counts = new Float64Array(scores.length);
  for (let name = 0; name < times; name++) {
    const shape = { rows: 1, width: 1, vocab: 5, temperature: 1, topK: 3, topP: 1, seed: 1, step: 3 };
    const { scores: keys } = generation.sampleKeys(shape, { batch: [0], names: [name], scores });
    counts[keys!.indexOf(Math.max(...keys!))]!++;
  }
  const weights = [2, 1, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.5].map(Math.exp);
  const total = weights.reduce((a, b) => a + b);
  for (const [i, weight] of weights.entries()) {
    const p = weight / total;
    // four standard deviations
    expect(Math.abs(counts[i]! / times - p), `token ${i}`).toBeLessThanOrEqual(4 * Math.sqrt((p * (1 - p)) / times));
  }
});
