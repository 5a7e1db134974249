/** Self-attention as an operation of training, on the GPU, against the CPU twins. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as twins from "../../src/kernels/reference/attention_training.ts";
import { Engine } from "../../src/runtime/engine.ts";
import type { ScalarInput } from "../../src/runtime/recorder.ts";
import { selfAttention } from "../../src/train/attention.ts";
import { randomNumbers } from "../case.ts";
import { testDevice } from "../device.ts";

const [heads, headDim, tokens] = [2, 8, 12];
const hidden = heads * headDim;
const starts = [0, 7, 12];
const seed = 42;

describe("self-attention", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await Engine.create(await testDevice());
  });
  afterAll(() => engine.dispose());

  test("gives its output and the gradient of what is packed, and draws dropout anew at each step", async () => {
    const dropout = 0.25;
    const program = await engine.record("attention", (r) => {
      const qkv = r.input("qkv", [tokens, 3 * hidden], "f32");
      const dOut = r.input("dOut", [tokens, hidden], "f32");
      const packed = {
        tokens: r.input("tokens", [tokens, 4], "u32"),
        cuSeqlens: r.input("starts", [3], "u32"),
        masked: true,
      };
      const step: ScalarInput = r.scalar("step", "u32");
      const tape = { r, gradientOf: () => undefined, seed, step, drawn: 5, learnt: new Set([qkv]) };
      const operation = selfAttention(tape, qkv, packed, heads, dropout);
      r.output("out", operation.out);
      r.output("gradient", operation.backward(dOut)!);
      expect(tape.drawn).toBe(6);
    });
    const random = randomNumbers(1);
    const qkv = Float32Array.from(random.values(tokens * 3 * hidden, 2));
    const dOut = Float32Array.from(random.values(tokens * hidden));
    const records = Uint32Array.from({ length: 4 * tokens }, (_, i) => Number(i % 4 === 3 && i !== 11));
    const outputs: number[][] = [];
    for (const step of [3, 4]) {
      const got = await program.run({ qkv, dOut, tokens: records, starts: Uint32Array.from(starts), step });
      const shape = {
        ...({ tokens, sequences: 2, heads, headDim, dtype: "f32", mask: true } as const),
        ...{ dropout, seed, step, tensor: 5, qOffset: 0, kOffset: hidden, vOffset: 2 * hidden },
      };
      const strides = { qStride: 3 * hidden, kStride: 3 * hidden, vStride: 3 * hidden };
      const given = { qkv, d_out: dOut, tokens: records, cu_seqlens: starts };
      const { out, lse } = twins.attentionTraining(
        { ...shape, ...strides },
        { ...given, q: qkv, k: qkv, v: qkv, cu_seqlens_k: starts },
      );
      const operands = { ...given, out: out!, lse: lse! };
      const { d_q, delta } = twins.attentionBackwardQ(shape, operands);
      const { d_kv } = twins.attentionBackwardKV(shape, { ...operands, delta: delta!, d_kv: d_q! });
      close(got.out as Float32Array, out!);
      close(got.gradient as Float32Array, d_kv!);
      outputs.push([...(got.out as Float32Array)]);
    }
    expect(outputs[0]).not.toEqual(outputs[1]);
  });
});

function close(got: Float32Array, want: Float64Array): void {
  expect(got).toHaveLength(want.length);
  for (const [i, value] of want.entries()) expect(Math.abs(got[i]! - value)).toBeLessThan(2e-5);
}
