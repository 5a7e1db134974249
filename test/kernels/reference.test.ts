/** Every kernel against its CPU twin, on awkward shapes. */
import { describe, test } from "vitest";
import type { Scalar } from "../../src/kernels/kernel.ts";
import { traitsOf } from "../../src/runtime/device.ts";
import * as tables from "../cases.ts";
import { hasF16, testDevice } from "../device.ts";
import { check } from "./harness.ts";

const { device, adapter } = await testDevice();
const traits = traitsOf(device, adapter);

describe.each<Scalar>(["f32", "f16"])("%s", (dtype) => {
  const reason = dtype === "f16" && !hasF16(device) ? " (skipped: the adapter has no shader-f16)" : "";
  describe.skipIf(reason !== "")(`against the CPU twin${reason}`, () => {
    checkAll("matmul", tables.matmulCases, dtype);
    checkAll("matmul for gradients", tables.matmulBackwardCases, dtype);
    checkAll("softmax", tables.softmaxCases, dtype);
    checkAll("layernorm", tables.layernormCases, dtype);
    checkAll("activation", tables.activationCases, dtype);
    checkAll("embed_layernorm", tables.embedLayernormCases, dtype);
    checkAll("attention", tables.attentionCases, dtype);
    checkAll("attention_probs", tables.attentionProbsCases, dtype);
    checkAll("gather_rows", tables.gatherRowsCases, dtype);
    checkAll("pool", tables.poolCases, dtype);
    checkAll("l2_normalize", tables.l2NormalizeCases, dtype);
    checkAll("top_k", tables.topKCases, dtype);
    checkAll("non_finite", tables.nonFiniteCases, dtype);
  });
});

function checkAll<Shape extends { readonly dtype: Scalar }>(
  name: string,
  table: tables.CaseTable<Shape>,
  dtype: Scalar,
): void {
  test.each(table.cases.map((of) => [JSON.stringify(of.shape), of] as const))(`${name} %s`, async (_, of) => {
    for (const kernel of table.kernels({ ...of.shape, dtype } as Shape, traits)) {
      await check(device, kernel, table, of, dtype);
    }
  });
}
