/** Models that write, on small ones with random weights: steps with caches against all tokens at once, and the rules. */

import { afterAll, describe, expect, test, vi } from "vitest";
import {
  type GenerationInput,
  GenerationModel,
  type GenerationSettings,
  generateSequences,
  generateTokens,
} from "../../../src/index.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";
import { random } from "../../support.ts";
import { tinyWriter } from "./tiny_writer.ts";

const engine = await Engine.create(await testDevice());
const model = await GenerationModel.load(engine, tinyWriter());
afterAll(() => model.dispose());

const VOCAB = 50;
const END = 3;

function sources(lengths: readonly number[], seed = 9): GenerationInput[] {
  const next = random(seed);
  return lengths.map((length) => ({
    source: { inputIds: Array.from({ length }, () => 5 + Math.floor(next() * 45)) },
  }));
}

async function write(inputs: readonly GenerationInput[], settings: GenerationSettings, of = model) {
  const all: { ids: readonly number[]; score?: number }[][] = [];
  for await (const written of generateSequences(of, inputs, settings)) all.push([...written]);
  return all;
}

/** log softmax of the scores behind each token of `ids`. */
async function logProbabilities(input: GenerationInput, ids: readonly number[], of = model): Promise<number[][]> {
  const { logits } = await of.forward([{ source: input.source, target: { inputIds: ids } }], { logits: true });
  return ids.map((_, i) => {
    const row = Array.from(logits!.data.subarray(i * VOCAB, (i + 1) * VOCAB));
    const greatest = Math.max(...row);
    const shift = greatest + Math.log(row.reduce((sum, value) => sum + Math.exp(value - greatest), 0));
    return row.map((value) => value - shift);
  });
}

const best = (row: readonly number[]): number => row.indexOf(Math.max(...row));

describe("the best token each time", () => {
  const inputs = sources([7, 1, 12, 3, 5]);
  const settings = { maxLength: 24 };

  test("is that of the scores of all tokens at once", async () => {
    const written = await write(inputs, settings);
    expect(new Set(written.map(([{ ids }]) => ids.join())).size).toBe(inputs.length); // sources count
    for (const [i, input] of inputs.entries()) {
      const { ids } = written[i]![0]!;
      const rows = await logProbabilities(input, ids.slice(0, -1));
      expect(rows.map(best)).toEqual(ids.slice(1));
      expect(ids.at(-1) === END || ids.length === 24).toBe(true);
    }
  });

  test("is the same for an input alone, and where others end before it", async () => {
    const together = await write(inputs, settings);
    for (const [i, input] of inputs.entries()) expect(await write([input], settings)).toEqual([together[i]]);
  });

  test("is the same with masked tokens among the others", async () => {
    const [plain] = inputs;
    const ids = plain!.source!.inputIds as number[];
    const padded = { source: { inputIds: [...ids, 9, 9], attentionMask: [...ids.map(() => 1), 0, 0] } };
    expect(await write([padded], settings)).toEqual(await write([plain!], settings));
  });

  test("goes on from a prompt", async () => {
    const [input] = inputs;
    const [[{ ids }]] = (await write([input!], settings)) as [[{ ids: number[] }]];
    const prompt = ids.slice(0, 6);
    expect(await write([{ ...input!, prompt }], settings)).toEqual([[{ ids }]]);
  });

  test("takes one program for all steps, and no more memory for a second batch", async () => {
    await write(inputs, settings);
    const record = vi.spyOn(engine, "record");
    const { bytes, buffers } = engine.memoryUse;
    await write(sources([6, 2, 12, 3, 5], 4), { maxLength: 23 });
    expect(record.mock.calls.map(([label]) => label.split(" ")[0])).not.toContain("step");
    expect(engine.memoryUse).toMatchObject({ bytes, buffers });
    record.mockRestore();
  });
});

describe("a search", () => {
  const inputs = sources([7, 2, 4]);

  test.each([1, 0, 2, -1])("scores its sequences by log probabilities, length penalty %d", async (lengthPenalty) => {
    const settings = { numBeams: 5, numReturnSequences: 5, maxLength: 10, lengthPenalty };
    const written = await write(inputs, settings);
    for (const [i, input] of inputs.entries()) {
      const sequences = written[i]!;
      expect(sequences).toHaveLength(5);
      expect(new Set(sequences.map(({ ids }) => ids.join())).size).toBe(5);
      const scores = sequences.map(({ score }) => score!);
      expect(scores).toEqual([...scores].sort((a, b) => b - a));
      for (const { ids, score } of sequences) {
        const rows = await logProbabilities(input, ids.slice(0, -1));
        const sum = rows.reduce((total, row, at) => total + row[ids[at + 1]!]!, 0);
        expect(Math.abs(score! - sum / rows.length ** lengthPenalty)).toBeLessThan(1e-4);
      }
    }
  });

  test("is the same for an input alone", async () => {
    const settings = { numBeams: 4, maxLength: 20, noRepeatNgramSize: 2 };
    const together = await write(inputs, settings);
    for (const [i, input] of inputs.entries()) {
      const [alone] = await write([input], settings);
      expect(alone!.map(({ ids }) => ids)).toEqual(together[i]!.map(({ ids }) => ids));
    }
  });
});

describe("rules", () => {
  const inputs = sources([9, 4]);
  const pairs = (ids: readonly number[]): string[] => ids.slice(1).map((id, i) => `${ids[i]} ${id}`);

  test.each([1, 3])("keep what they promise, with %d beams", async (numBeams) => {
    const source = inputs[0]!.source!.inputIds as number[];
    const [[{ ids }]] = (await write([inputs[0]!], {
      ...{ numBeams, minLength: 20, maxLength: 22, noRepeatNgramSize: 2, encoderNoRepeatNgramSize: 2 },
      ...{ badWordsIds: [[7], [8, 9]], forcedBosTokenId: 11, forcedEosTokenId: END },
    })) as [[{ ids: number[] }]];
    expect(ids.length).toBeGreaterThanOrEqual(20);
    expect(ids.indexOf(END)).toBe(ids.length - 1);
    expect(ids[1]).toBe(11);
    expect(new Set(pairs(ids)).size).toBe(ids.length - 1);
    expect(pairs(ids).filter((pair) => pairs(source).includes(pair))).toEqual([]);
    expect(ids).not.toContain(7);
    expect(pairs(ids)).not.toContain("8 9");
  });

  test("a penalty makes what is there already less likely", async () => {
    const distinct = async (repetitionPenalty: number): Promise<number> => {
      const written = await write(inputs, { maxLength: 24, minLength: 24, repetitionPenalty });
      return written.reduce((sum, [{ ids }]) => sum + new Set(ids).size, 0);
    };
    expect(await distinct(5)).toBeGreaterThan(await distinct(1));
  });
});

describe("draws", () => {
  const inputs = sources([9, 4, 6]);
  const settings = { doSample: true, maxLength: 20, seed: 3, temperature: 3 };

  test("are those of their seed, in any batch", async () => {
    const [one, same, other] = [
      await write(inputs, settings),
      await write(inputs, settings),
      await write(inputs, { ...settings, seed: 4 }),
    ];
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
    expect(await write(inputs.slice(0, 1), settings)).toEqual(one.slice(0, 1));
  });

  test("give several sequences, each its own", async () => {
    const [written] = await write(inputs.slice(0, 1), { ...settings, numReturnSequences: 4 });
    expect(new Set(written!.map(({ ids }) => ids.join())).size).toBe(4);
  });

  test("among one are the best token each time", async () => {
    const greedy = await write(inputs, { maxLength: 20 });
    expect(await write(inputs, { ...settings, topK: 1 })).toEqual(greedy);
    expect(await write(inputs, { ...settings, topK: 0, topP: 1e-6 })).toEqual(greedy);
  });
});

test("tokens come a few at a time, and are those of the sequence", async () => {
  const [input] = sources([9]);
  const parts: (readonly number[])[] = [];
  for await (const ids of generateTokens(model, input!, { maxLength: 20, minLength: 20 })) parts.push(ids);
  const [[{ ids }]] = (await write([input!], { maxLength: 20, minLength: 20 })) as [[{ ids: number[] }]];
  expect(parts.flat()).toEqual(ids.slice(1));
  expect(parts.length).toBeGreaterThan(2);
});

describe("what does not go", () => {
  const inputs = sources([4]);
  test.each<[GenerationSettings, RegExp]>([
    [{ doSample: true, numBeams: 2 }, /doSample draws and numBeams 2 searches: set numBeams to 1/],
    [{ temperature: 0.5 }, /temperature is of draws: set doSample to true/],
    [{ lengthPenalty: 2 }, /lengthPenalty is of a search: set numBeams to 2 or more/],
    [{ numReturnSequences: 3, numBeams: 2 }, /numReturnSequences is 3, numBeams 2: ask for fewer/],
    [{ minLength: 30, maxLength: 20 }, /minLength asks for 30 tokens, maxLength for 20 at most/],
    [{ maxLength: 65 }, /maxLength asks for 65 tokens, the decoder has 64 positions/],
    [{ badWordsIds: [[50]] }, /badWordsIds is 50, it must be an id from 0 to 49/],
    [{ badWordsIds: [[]] }, /badWordsIds is \[\[\]\], it must be a list of lists of ids, none of them empty$/],
    [{ badWordsIds: 5 as never }, /badWordsIds is 5, it must be a list of lists of ids/],
    [{ doSample: "yes" as never }, /doSample is "yes", it must be true or false$/],
    [{ doSample: true, temperature: 1e-40 }, /temperature is 1e-40, it must be above 0, from 1e-30 to 1e30$/],
    [{ repetitionPenalty: 1e39 }, /repetitionPenalty is 1e\+39, it must be above 0/],
    [{ numBeams: 3, lengthPenalty: -1000 }, /lengthPenalty is -1000, it must be a number from -10 to 10$/],
    [{ doSample: true, topP: 0 }, /topP is 0, it must be above 0, at most 1/],
    [{ numBeams: 30 }, /numBeams 30 takes 60 candidates, the vocabulary has 50/],
    [{ beams: 3 } as GenerationSettings, /no option "beams"; there are maxLength/],
  ])("%o is told in one line", async (settings, message) => {
    const error = await write(inputs, settings).catch((error: Error) => error);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain("\n");
  });

  test("a source that is too long, empty or not there", async () => {
    const long = { source: { inputIds: new Array<number>(65).fill(9) } };
    await expect(write([...inputs, long], {})).rejects.toThrow(
      "input 1: its source has 65 tokens, the encoder takes 64: cut it, or split it",
    );
    await expect(write([{}], {})).rejects.toThrow("input 0 has no source");
    const masked = { source: { inputIds: [9], attentionMask: [0] } };
    await expect(write([masked], {})).rejects.toThrow("input 0: its source has no token that is not masked");
  });

  test("ends with the signal's reason, and leaves nothing behind", async () => {
    const controller = new AbortController();
    const { buffers } = engine.memoryUse;
    const run = (async () => {
      for await (const _ of generateTokens(
        model,
        inputs[0]!,
        { maxLength: 60, minLength: 60 },
        { signal: controller.signal },
      )) {
        controller.abort(new Error("enough"));
      }
    })();
    await expect(run).rejects.toThrow("enough");
    expect(engine.memoryUse.buffers).toBeLessThanOrEqual(buffers);
    expect(await write(inputs, { maxLength: 8 })).toHaveLength(1);
  });

  test("a reader who has had enough leaves nothing behind either", async () => {
    await write(inputs, { maxLength: 60 });
    const { buffers } = engine.memoryUse;
    for await (const _ of generateTokens(model, inputs[0]!, { maxLength: 59, minLength: 59 })) break;
    await write(inputs, { maxLength: 60 });
    expect(engine.memoryUse.buffers).toBeLessThanOrEqual(buffers);
  });

  test("a model that is disposed meanwhile says so, and its memory is free", async () => {
    const { buffers } = engine.memoryUse;
    const own = await GenerationModel.load(engine, tinyWriter());
    await write(inputs, { maxLength: 8 }, own);
    const run = (async () => {
      for await (const _ of generateTokens(own, inputs[0]!, { maxLength: 60, minLength: 60 })) own.dispose();
    })();
    await expect(run).rejects.toThrow("the model was disposed");
    await expect(write(inputs, {}, own)).rejects.toThrow("the model was disposed");
    await expect(own.forward([{ ...inputs[0]!, target: { inputIds: [2] } }], { logits: true })).rejects.toThrow(
      "the model was disposed",
    );
    expect(engine.memoryUse.buffers).toBeLessThanOrEqual(buffers);
  });
});
