/** The kernels of training against their CPU twins, and these against differences of the twins of what they differentiate. */
import { describe, expect, test } from "vitest";
import type { Scalar } from "../../src/kernels/kernel.ts";
import * as attention from "../../src/kernels/reference/attention_training.ts";
import * as backward from "../../src/kernels/reference/backward.ts";
import * as sentences from "../../src/kernels/reference/sentences.ts";
import * as training from "../../src/kernels/reference/training.ts";
import * as forward from "../../src/kernels/reference/twins.ts";
import type { Inputs, Outputs } from "../../src/kernels/reference/values.ts";
import { traitsOf } from "../../src/runtime/device.ts";
import * as tables from "../backward_cases.ts";
import { randomNumbers } from "../case.ts";
import { hasF16, testDevice } from "../device.ts";
import { check } from "./harness.ts";

const { device, adapter } = await testDevice();
const traits = traitsOf(device, adapter);
const NONE = 0xffffffff;

describe.each<Scalar>(["f32", "f16"])("%s", (dtype) => {
  const reason = dtype === "f16" && !hasF16(device) ? " (skipped: the adapter has no shader-f16)" : "";
  describe.skipIf(reason !== "")(`against the CPU twin${reason}`, () => {
    checkAll("column_sums", tables.columnSumsCases);
    checkAll("layernorm_backward", tables.layernormBackwardCases);
    checkAll("layernorm_weights_backward", tables.layernormWeightsBackwardCases);
    checkAll("l2_normalize_backward", tables.l2NormalizeBackwardCases);
    checkAll("activation_backward", tables.activationBackwardCases);
    checkAll("dropout", tables.dropoutCases);
    checkAll("keep_blocks", tables.keepBlocksCases);
    checkAll("segment_sums", tables.segmentSumsCases);
    checkAll("spread_rows", tables.spreadRowsCases);
    checkAll("embedding_sums", tables.embeddingSumsCases);
    checkAll("pool_backward", tables.poolBackwardCases);
    checkAll("attention_training", tables.attentionTrainingCases);
    checkAll("attention_backward_q", tables.attentionBackwardQCases);
    checkAll("attention_backward_kv", tables.attentionBackwardKVCases);
    checkAll("cross_entropy", tables.crossEntropyCases);
    checkAll("span_loss", tables.spanLossCases);
    checkAll("binary_cross_entropy", tables.binaryCrossEntropyCases);
    checkAll("squared_error", tables.squaredErrorCases);
    checkAll("copy_blocks", tables.copyBlocksCases);
    checkAll("row_dots", tables.rowDotsCases);
    checkAll("row_dots_backward", tables.rowDotsBackwardCases);
    checkAll("cosent", tables.cosentCases);
    checkAll("cosent_gradient", tables.cosentGradientCases);
    checkAll("triplet", tables.tripletCases);
  });

  function checkAll<Shape extends { readonly dtype: Scalar }>(
    name: string,
    table: Omit<Parameters<typeof check<Shape>>[2], "typical">,
  ): void {
    test.each(table.cases.map((of) => [JSON.stringify(of.shape), of] as const))(`${name} %s`, async (_, of) => {
      const shape = { ...of.shape, dtype } as Shape;
      for (const kernel of table.kernels(shape, traits))
        await check(device, kernel, { ...table, typical: [] }, of, dtype);
    });
  }
});

describe("twins against central differences", () => {
  const random = randomNumbers(3);
  const dtype = "f32";
  const STEP = 1e-5;

  /** Of sum(d * f(x)), element by element. */
  function differences(f: (x: Float64Array) => Float64Array, x: Float64Array, d: ArrayLike<number>): Float64Array {
    const weighed = (moved: Float64Array): number => f(moved).reduce((total, y, i) => total + y * d[i]!, 0);
    return x.map((value, i) => {
      const at = (to: number): number => weighed(x.map((other, j) => (i === j ? to : other)));
      return (at(value + STEP) - at(value - STEP)) / (2 * STEP);
    });
  }

  function expectClose(got: Float64Array, want: Float64Array): void {
    expect(got).toHaveLength(want.length);
    for (const [i, value] of want.entries()) expect(got[i]).toBeCloseTo(value, 7);
  }

  test("layernorm: of its input and of its weights", () => {
    const [rows, cols, eps] = [3, 7, 1e-3];
    const [x, gamma, beta, d_out] = [rows * cols, cols, cols, rows * cols].map((count) => random.values(count));
    const out = (inputs: Inputs): Float64Array =>
      forward.layernorm({ rows, cols, eps, dtype, residual: false }, inputs).out!;
    const { dx, stats } = backward.layernormBackward(
      { rows, cols, eps, dtype },
      { x: x!, gamma: gamma!, d_out: d_out! },
    );
    const others = { gamma: gamma!, beta: beta! };
    expectClose(
      dx!,
      differences((x) => out({ ...others, x }), x!, d_out!),
    );
    const { d_gamma, d_beta, d_bias } = backward.layernormWeightsBackward(
      { rows, cols, dtype, bias: true },
      { x: x!, stats: stats!, d_out: d_out!, dx: dx! },
    );
    expectClose(
      d_gamma!,
      differences((gamma) => out({ x: x!, gamma, beta: beta! }), gamma!, d_out!),
    );
    expectClose(
      d_beta!,
      differences((beta) => out({ x: x!, gamma: gamma!, beta }), beta!, d_out!),
    );
    const bias = new Float64Array(cols);
    const biased = (bias: Float64Array): Float64Array =>
      out({ ...others, x: x!.map((value, i) => value + bias[i % cols]!) });
    expectClose(d_bias!, differences(biased, bias, d_out!));
  });

  test("l2_normalize, and the activations", () => {
    const [rows, cols] = [2, 5];
    const [x, d_out] = [random.values(rows * cols), random.values(rows * cols)];
    const shape = { rows, cols, dtype } as const;
    expectClose(
      backward.l2NormalizeBackward(shape, { x, d_out }).dx!,
      differences((x) => forward.l2Normalize(shape, { x }).out!, x, d_out),
    );
    for (const activation of ["none", "gelu", "gelu_tanh", "relu", "tanh", "silu"] as const) {
      const pre = random.values(20, 3);
      const d = random.values(20);
      expectClose(
        backward.activationBackward({ count: 20, dtype, activation }, { pre, d_out: d }).d_pre!,
        differences((pre) => pre.map((value) => forward.activate(activation, value)), pre, d),
      );
    }
  });

  test.each(["mean", "cls", "max"] as const)("%s pooling", (mode) => {
    const shape = { sequences: 3, hidden: 2, dtype, mode, mask: mode !== "cls" } as const;
    const others = {
      cu_seqlens: [0, 3, 4, 8],
      tokens: Array.from({ length: 32 }, (_, i) => (i % 4 === 3 && i !== 7 ? 1 : 0)),
    };
    const [x, d_out] = [random.values(16), random.values(6)];
    expectClose(
      backward.poolBackward(shape, { ...others, x, d_out }).dx!,
      differences((x) => forward.pool(shape, { ...others, x }).out!, x, d_out),
    );
  });

  test.each([{ mask: true }, { causal: true, scale: 0.7, dropout: 0.4, seed: 3, step: 4, tensor: 1 }])(
    "attention, %j",
    (options) => {
      const [heads, headDim] = [2, 3];
      const stride = 3 * heads * headDim + 2;
      const places = { qOffset: 13, kOffset: 1, vOffset: 7 };
      const shape = { tokens: 10, sequences: 4, heads, headDim, dtype, mask: false, ...places, ...options } as const;
      const starts = [0, 4, 4, 9, 10];
      const tokens = Array.from({ length: 40 }, (_, i) => Number(i % 4 === 3 && i !== 7 && i < 36));
      const given = { cu_seqlens: starts, tokens };
      const [qkv, d_out] = [random.values(10 * stride + 13, 2), random.values(10 * heads * headDim)];
      const strides = { qStride: stride, kStride: stride, vStride: stride };
      const run = (qkv: Float64Array): Outputs =>
        attention.attentionTraining(
          { ...shape, ...strides },
          { ...given, q: qkv, k: qkv, v: qkv, cu_seqlens_k: starts },
        );
      const { out, lse } = run(qkv);
      const operands = { ...given, qkv, d_out, out: out!, lse: lse! };
      const { d_q, delta } = attention.attentionBackwardQ({ ...shape, stride }, operands);
      const before = new Float64Array(qkv.length);
      before.set(d_q!);
      const { d_kv } = attention.attentionBackwardKV(
        { ...shape, stride },
        { ...operands, delta: delta!, d_kv: before },
      );
      expectClose(
        d_kv!,
        differences((qkv) => run(qkv).out!, qkv, d_out),
      );
    },
  );

  test("gathering rows is undone by segments of them, and by spreading", () => {
    const indices = [2, 0, 2, 1, 2];
    const [table, d_out] = [random.values(4 * 3), random.values(5 * 3)];
    const gather = { count: 5, cols: 3, tableRows: 4, dtype } as const;
    const want = differences((table) => forward.gatherRows(gather, { table, indices }).out!, table, d_out);
    const segments = { order: [1, 3, 0, 2, 4], starts: [0, 1, 2, 5], targets: [0, 1, 2] };
    const given = { x: d_out, ...segments, out: new Float64Array(12) };
    expectClose(
      backward.segmentSums({ segments: 3, cols: 3, tableRows: 4, dtype, accumulate: true }, given).out!,
      want,
    );
    const once = { count: 2, cols: 3, tableRows: 4, dtype } as const;
    const d = random.values(6);
    expectClose(
      backward.spreadRows({ count: 4, cols: 3, dtype }, { x: d, places: [1, NONE, 0, NONE] }).out!,
      differences((table) => forward.gatherRows(once, { table, indices: [2, 0] }).out!, table, d),
    );
  });

  test("losses", () => {
    const loss = (f: (inputs: Inputs) => Outputs) => (logits: Float64Array) => f({ logits }).losses!;
    const ones = (count: number): Float64Array => new Float64Array(count).fill(1);
    const given = { state: [0, 0, 0, 0, 1] };
    const cases: readonly [number, number, (inputs: Inputs) => Outputs][] = [
      [
        12,
        3,
        (inputs) =>
          training.crossEntropy({ rows: 3, cols: 4, dtype, scale: 1 }, { ...given, labels: [2, NONE, 0], ...inputs }),
      ],
      [
        12,
        3,
        (inputs) =>
          training.crossEntropy(
            { rows: 3, cols: 4, dtype, scale: 0.5, factor: 3 },
            { ...given, labels: [2, NONE, 0], ...inputs },
          ),
      ],
      [
        14,
        4,
        (inputs) =>
          training.spanLoss(
            { sequences: 2, tokens: 7, dtype, startScale: 1, endScale: 1 },
            { ...given, cu_seqlens: [0, 4, 7], labels: [0, 3, 2, NONE], ...inputs },
          ),
      ],
      [
        5,
        5,
        (inputs) =>
          training.binaryCrossEntropy({ count: 5, dtype, scale: 1 }, { ...given, labels: [1, 0, 1, 0, 1], ...inputs }),
      ],
      [
        5,
        5,
        (inputs) =>
          training.squaredError({ count: 5, dtype, scale: 1 }, { ...given, labels: [1, 0.5, -1, 3, 2], ...inputs }),
      ],
    ];
    for (const [count, losses, twin] of cases) {
      const logits = random.values(count, 2);
      expectClose(twin({ logits }).logits!, differences(loss(twin), logits, ones(losses)));
    }
  });

  test("losses of sentences", () => {
    const state = [0, 0, 0, 0, 1];
    const [rows, cols] = [4, 5];
    const dots = { rows, cols, dtype } as const;
    const [x, d_dots] = [random.values(2 * rows * cols), random.values(rows)];
    expectClose(
      sentences.rowDotsBackward(dots, { x, d_dots }).dx!,
      differences((x) => sentences.rowDots(dots, { x }).dots!, x, d_dots),
    );
    const pairs = { rows, dtype, factor: 3, scale: 0.5 } as const;
    const labels = [0.5, 0.1, 0.9, 0.5];
    const cosent = (similarities: Float64Array): Outputs => {
      const { sums } = sentences.cosent(pairs, { similarities, labels });
      return sentences.cosentGradient(pairs, { similarities, labels, sums: sums!, state });
    };
    const similarities = random.values(rows);
    expectClose(
      cosent(similarities).d_similarities!,
      differences((s) => cosent(s).losses!, similarities, new Float64Array(rows).fill(1)),
    );
    // the loss itself, by its definition
    const wrong = labels.flatMap((a, i) =>
      labels.flatMap((b, j) => (a < b ? [Math.exp(3 * (similarities[i]! - similarities[j]!))] : [])),
    );
    expect(cosent(similarities).losses![0]).toBeCloseTo(Math.log(1 + wrong.reduce((a, b) => a + b, 0)) / 2, 9);
    const triplets = { ...dots, margin: 0.4, scale: 0.25 } as const;
    const triplet = (x: Float64Array): Outputs => sentences.triplet(triplets, { x, state });
    const three = random.values(3 * rows * cols);
    for (let i = three.length - cols; i < three.length; i++) three[i]! += 3; // the last negative is far away
    const { losses, dx } = triplet(three);
    expect(new Set(losses!.map(Math.sign))).toEqual(new Set([0, 1])); // one is far enough apart, another is not
    expectClose(
      dx!,
      differences((x) => triplet(x).losses!, three, new Float64Array(rows).fill(1)),
    );
  });

  test("dropout keeps what it should, and as often", () => {
    const count = 40_000;
    const x = new Float64Array(count).fill(1);
    const shape = { count, dtype, probability: 0.3, residual: false, seed: 1, step: 2, tensor: 3 } as const;
    const { out } = backward.dropout(shape, { x });
    const kept = out!.filter((value) => value > 0);
    expect(Math.abs(kept.length / count - 0.7)).toBeLessThan(0.01);
    expect(new Set(kept)).toEqual(new Set([1 / 0.7]));
    expect(backward.dropout({ ...shape, step: 3 }, { x }).out).not.toEqual(out);
  });

  test("philox gives the known answers", () => {
    // of the authors' own test vectors (Random123, kat_vectors)
    const ones = 0xffffffff;
    expect([...backward.philox([0, 0, 0, 0], [0, 0])]).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    expect([...backward.philox([ones, ones, ones, ones], [ones, ones])]).toEqual([
      0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd,
    ]);
  });
});
