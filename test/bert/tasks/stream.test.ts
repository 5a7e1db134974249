/** The driver that all tasks run on: with a model that only counts, and with a real one. */

import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Sequence } from "../../../src/bert/batch.ts";
import { BertModel } from "../../../src/bert/model.ts";
import type { Forward, Wanted } from "../../../src/bert/outputs.ts";
import type { Plan } from "../../../src/bert/tasks/plan.ts";
import { type Progress, runPlan, streamPlan } from "../../../src/bert/tasks/stream.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";
import { random } from "../../support.ts";
import { tinyModel } from "../tiny.ts";

interface Batch {
  readonly tokens: number;
  readonly sequences: number;
  readonly rows: number | undefined;
}

/** Its `logits` are the first id of each sequence. */
function fakeModel(latency = 0): { model: BertModel; batches: Batch[] } {
  const batches: Batch[] = [];
  const model = {
    config: {
      architectures: [],
      maxPositionEmbeddings: 512,
      vocabSize: 100,
      intermediateSize: 100,
      numAttentionHeads: 1,
      numHiddenLayers: 1,
    },
    async forward(sequences: readonly Sequence[], wanted: Wanted): Promise<Forward> {
      const cuSeqlens = new Uint32Array(sequences.length + 1);
      sequences.forEach(({ inputIds }, i) => {
        cuSeqlens[i + 1] = cuSeqlens[i]! + inputIds.length;
      });
      const longest = Math.max(...sequences.map(({ inputIds }) => inputIds.length));
      expect(longest).toBeLessThanOrEqual(512);
      batches.push({
        tokens: cuSeqlens.at(-1)!,
        sequences: sequences.length,
        rows: wanted.predictionRows?.length,
      });
      await pause(latency);
      const data = Float32Array.from(sequences, ({ inputIds }) => inputIds[0]!);
      return { cuSeqlens, logits: { shape: [data.length, 1], data } };
    },
  };
  return { model: model as unknown as BertModel, batches };
}

interface Input {
  readonly id: number;
  /** Tokens of its sequences. */
  readonly lengths: readonly number[];
}

/** Gives back the id, once for every sequence. */
const echo: Plan<Input, number[]> = {
  wanted: { logits: true },
  prepare({ id, lengths }, index) {
    if (id < 0) throw new RangeError(`input ${index + 1} is bad`);
    return {
      sequences: lengths.map((length) => ({ inputIds: new Array<number>(length).fill(id) })),
      finish: (outputs) => outputs.map(({ logits }) => logits![0]!),
    };
  },
};

function inputs(count: number, most = 30, seed = 1): Input[] {
  const next = random(seed);
  return Array.from({ length: count }, (_, id) => ({ id, lengths: [1 + Math.floor(next() * most)] }));
}

async function* arriving<T>(items: readonly T[], log: { read: number; ended?: boolean }): AsyncGenerator<T> {
  try {
    for (const item of items) {
      log.read++;
      yield item;
    }
  } finally {
    log.ended = true;
  }
}

describe("results", () => {
  test("come in order, whatever the lengths and however many sequences an input has", async () => {
    const { model } = fakeModel();
    const next = random(7);
    const mixed = Array.from({ length: 500 }, (_, id) => ({
      id,
      lengths: Array.from({ length: Math.floor(next() * 5) }, () => 1 + Math.floor(next() * 200)),
    }));
    const results = await runPlan(model, echo, mixed, { tokenBudget: 300 });
    expect(results).toEqual(mixed.map(({ id, lengths }) => lengths.map(() => id)));
    expect(await runPlan(model, echo, [])).toEqual([]);
  });

  test("are those of the list when the inputs come one by one", async () => {
    const { model } = fakeModel();
    const list = inputs(300);
    const streamed: number[][] = [];
    for await (const result of streamPlan(model, echo, arriving(list, { read: 0 }), { tokenBudget: 128 })) {
      streamed.push(result);
    }
    expect(streamed).toEqual(await runPlan(model, echo, list));
  });

  test("do not wait for inputs that have not come", async () => {
    const { model, batches } = fakeModel(5);
    let [asked, answered] = [0, 0];
    async function* slow(): AsyncGenerator<Input> {
      for (const input of inputs(4)) {
        await pause(20);
        yield input;
        asked++;
        await vi.waitUntil(() => answered === asked); // the next comes only when this one is answered
      }
    }
    for await (const _ of streamPlan(model, echo, slow())) answered++;
    expect(answered).toBe(4);
    expect(batches.map(({ sequences }) => sequences)).toEqual([1, 1, 1, 1]);
  });
});

describe("batches", () => {
  test("are within the budget, and a longer sequence goes alone", async () => {
    const { model, batches } = fakeModel();
    await runPlan(model, echo, [...inputs(200), { id: 9, lengths: [400] }, ...inputs(200)], { tokenBudget: 256 });
    expect(batches.filter(({ tokens }) => tokens > 256)).toEqual([{ tokens: 400, sequences: 1, rows: undefined }]);
  });

  test("have few shapes, and hardly more tokens than the inputs have", async () => {
    const { model, batches } = fakeModel();
    const list = inputs(60_000);
    await runPlan(model, echo, list);
    const shapes = new Set(batches.slice(0, -1).map(({ tokens, sequences }) => `${tokens} ${sequences}`));
    expect(batches.length).toBeGreaterThan(100);
    expect(shapes.size).toBeLessThanOrEqual(3);
    const tokens = list.reduce((sum, { lengths }) => sum + lengths[0]!, 0);
    expect(batches.reduce((sum, batch) => sum + batch.tokens, 0) / tokens).toBeLessThan(1.025);
  });

  test("count the rows of a vocabulary-wide head as the tokens they weigh", async () => {
    const { model, batches } = fakeModel();
    const plan: Plan<Input, number> = {
      wanted: { predictionTopK: 1 },
      prepare: ({ lengths: [length] }) => ({
        sequences: [{ inputIds: new Array<number>(length!).fill(1) }],
        rows: [Array.from({ length: length! }, (_, i) => i)],
        finish: () => 0,
      }),
    };
    (model.config as { vocabSize: number }).vocabSize = 1000; // ten times as wide as the widest layer
    await runPlan(model, plan, inputs(100), { tokenBudget: 1000 });
    for (const { rows } of batches) expect(rows).toBeLessThanOrEqual(112); // 100, and an eighth to share shapes
  });

  test("refuse a budget that is none", async () => {
    const { model } = fakeModel();
    for (const tokenBudget of [0, -1, 2.5, Number.NaN]) {
      await expect(runPlan(model, echo, inputs(1), { tokenBudget })).rejects.toThrow(/tokenBudget is .*integer from 1/);
    }
  });
});

describe("reading", () => {
  test("goes no further ahead than two batches, however slow the reader of results is", async () => {
    const { model } = fakeModel();
    const log = { read: 0 };
    const budget = 200;
    let done = 0;
    for await (const _ of streamPlan(model, echo, arriving(inputs(5000, 1), log), { tokenBudget: budget })) {
      done++;
      if (done % 100 === 0) await pause(1);
      // what runs, what is ready, and the results that are not yet read
      expect(log.read - done).toBeLessThanOrEqual(3 * budget + 2);
    }
    expect(done).toBe(5000);
  });

  test("ends with the reader", async () => {
    const { model } = fakeModel();
    const log = { read: 0, ended: false };
    for await (const _ of streamPlan(model, echo, arriving(inputs(10_000), log), { tokenBudget: 100 })) break;
    await pause(5);
    expect(log.ended).toBe(true);
    expect(log.read).toBeLessThan(200);
  });

  test("that fails is told after the results of all that came before", async () => {
    const { model } = fakeModel();
    async function* failing(): AsyncGenerator<Input> {
      yield* inputs(50);
      throw new Error("the disk is gone");
    }
    const results: number[][] = [];
    const consume = async (source: AsyncIterable<Input> | Iterable<Input>): Promise<void> => {
      for await (const result of streamPlan(model, echo, source, { tokenBudget: 64 })) results.push(result);
    };
    await expect(consume(failing())).rejects.toThrow("the disk is gone");
    expect(results).toHaveLength(50);
    await expect(consume([...inputs(20), { id: -1, lengths: [1] }, ...inputs(20)])).rejects.toThrow("input 21 is bad");
    expect(results).toHaveLength(70);
  });

  test("an abort ends the wait for inputs and rejects with its reason", async () => {
    const { model } = fakeModel();
    async function* never(): AsyncGenerator<Input> {
      yield { id: 1, lengths: [3] };
      await new Promise(() => {});
    }
    const controller = new AbortController();
    const results: number[][] = [];
    const consume = async (): Promise<void> => {
      for await (const result of streamPlan(model, echo, never(), { signal: controller.signal })) {
        results.push(result);
        setTimeout(() => controller.abort(new Error("enough")), 5);
      }
    };
    await expect(consume()).rejects.toThrow("enough");
    expect(results).toEqual([[1]]);
    await expect(runPlan(model, echo, inputs(3), { signal: controller.signal })).rejects.toThrow("enough");
  });

  test("a model that fails ends it with its error", async () => {
    const { model } = fakeModel();
    const broken = { ...model, forward: () => Promise.reject(new Error("lost")) } as unknown as BertModel;
    await expect(runPlan(broken, echo, inputs(1000), { tokenBudget: 50 })).rejects.toThrow("lost");
  });
});

test("progress tells what is done, of how much, and how fast", async () => {
  const { model } = fakeModel(1);
  const told: Progress[] = [];
  const onProgress = (progress: Progress): void => void told.push(progress);
  await runPlan(model, echo, inputs(100), { tokenBudget: 200, onProgress });
  expect(told.length).toBeGreaterThan(3);
  expect(told.at(-1)).toMatchObject({ done: 100, total: 100 });
  expect(told.every(({ done, rate }, i) => rate > 0 && done > (told[i - 1]?.done ?? 0))).toBe(true);
  told.length = 0;
  for await (const _ of streamPlan(model, echo, arriving(inputs(5), { read: 0 }), { onProgress }));
  expect(told.at(-1)).toMatchObject({ done: 5, total: undefined });
});

describe("with a real model", () => {
  let engine: Engine;
  let model: BertModel;
  beforeAll(async () => {
    engine = await Engine.create(await testDevice());
    model = await BertModel.load(engine, tinyModel());
  });
  afterAll(() => engine.dispose());

  /** The logits of each of the sequences of an input, which may have none. */
  const classify: Plan<readonly Sequence[], number[][]> = {
    wanted: { logits: true },
    prepare: (sequences) => ({
      sequences: [...sequences],
      finish: (outputs) => outputs.map(({ logits }) => Array.from(logits!)),
    }),
  };

  test("results of batches are in order, and those of each sequence alone", async () => {
    const next = random(11);
    const list = Array.from({ length: 60 }, () =>
      Array.from({ length: Math.floor(next() * 4) }, () => ({
        inputIds: Array.from({ length: 1 + Math.floor(next() * 40) }, () => Math.floor(next() * 50)),
      })),
    );
    const alone: number[][][] = [];
    for (const sequences of list) {
      const own: number[][] = [];
      for (const sequence of sequences)
        own.push(Array.from((await model.forward([sequence], { logits: true })).logits!.data));
      alone.push(own);
    }
    const forward = vi.spyOn(model, "forward");
    for (const tokenBudget of [40, 256, undefined]) {
      forward.mockClear();
      const listed = await runPlan(model, classify, list, { tokenBudget });
      const batches = forward.mock.calls.map(([sequences]) =>
        sequences.reduce((sum, { inputIds }) => sum + inputIds.length, 0),
      );
      const streamed: number[][][] = [];
      for await (const result of streamPlan(model, classify, arriving(list, { read: 0 }), { tokenBudget })) {
        streamed.push(result);
      }
      expect(batches.length > 1).toBe(tokenBudget !== undefined);
      expect(Math.max(...batches)).toBeLessThanOrEqual(tokenBudget ?? 8192);
      for (const results of [listed, streamed]) {
        expect(results.map((own) => own.length)).toEqual(list.map((own) => own.length));
        const errors = results.flat(2).map((value, i) => Math.abs(value - alone.flat(2)[i]!));
        expect(Math.max(...errors)).toBeLessThan(1e-5);
      }
    }
    // the sequences differ by more than that: an order that is not theirs would show
    const firsts = alone.flat().map(([first]) => first!);
    expect(Math.min(...firsts.slice(1).map((value, i) => Math.abs(value - firsts[i]!)))).toBeGreaterThan(1e-4);
  });
});
