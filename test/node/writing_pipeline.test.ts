/** Pipelines of models that write, by the names and shapes of transformers.js. */

import { afterAll, describe, expect, test } from "vitest";
import {
  Engine,
  generateTexts,
  loadGenerator,
  loadPretrained,
  type PipelineName,
  pipeline,
} from "../../src/node/index.ts";
import { CAUSAL, tinyWriter } from "../bert/generation/tiny_writer.ts";
import { tinyTask } from "../bert/tasks/tiny_task.ts";
import { testDevice } from "../device.ts";

const TEXTS = ["the film was good", "a movie is long and dull"];
const causal = tinyWriter(CAUSAL);

const engine = await Engine.create(await testDevice());
const writer = await loadGenerator(engine, tinyWriter());
afterAll(() => engine.dispose());

const SETTINGS = { numBeams: 3, numReturnSequences: 2, maxLength: 9, noRepeatNgramSize: 2 };
const OPTIONS = { num_beams: 3, num_return_sequences: 2, max_length: 9, no_repeat_ngram_size: 2 };

describe.each([
  ["translation", "translation_text"],
  ["summarization", "summary_text"],
  ["text2text-generation", "generated_text"],
] as const)("%s", (task, key) => {
  test("gives a list of what is written, for one text and several", async () => {
    const texts = (await generateTexts(writer, TEXTS, SETTINGS)).flat().map(({ text }) => text);
    for (const model of [writer, tinyWriter()]) {
      const write = await pipeline(task, model, { engine });
      expect(await write(TEXTS, OPTIONS)).toEqual(texts.map((text) => ({ [key]: text })));
      expect(await write(TEXTS[0]!, OPTIONS)).toEqual(texts.slice(0, 2).map((text) => ({ [key]: text })));
      write.dispose();
    }
    expect(await generateTexts(writer, [], {})).toEqual([]); // what was given stays
    expect((await generateTexts(writer, TEXTS, SETTINGS)).flat().map(({ text }) => text)).toEqual(texts);
  });

  test("knows its options alone, in snake case", async () => {
    const write = await pipeline(task, writer);
    await expect(write(TEXTS, { numBeams: 3 } as object)).rejects.toThrow(
      new RegExp(`^${task}: no option "numBeams"; there are .*num_beams`),
    );
  });

  test("does not take a causal model", async () => {
    await expect(pipeline(task, causal, { engine })).rejects.toThrow(/it has no encoder: text-generation$/);
  });
});

describe("text-generation", () => {
  test("goes on with texts, with them or without, a list for each", async () => {
    const generator = await loadGenerator(engine, causal);
    const expected = await generateTexts(generator, TEXTS, { maxNewTokens: 6 });
    const write = await pipeline("text-generation", causal, { engine });
    const whole = await write(TEXTS, { max_new_tokens: 6 });
    expect(whole).toEqual(expected.map(([one]) => [{ generated_text: one!.text }]));
    expect(whole[1]![0]!.generated_text).toMatch(new RegExp(`^${TEXTS[1]}`));
    const [first] = await write(TEXTS[1]!, { max_new_tokens: 6, return_full_text: false });
    const { ids } = expected[1]![0]!;
    expect(first!.generated_text).toBe(generator.tokenizer.decode(ids.slice(-6), { skipSpecialTokens: true }));
    await expect(write("a", { prompt: "b" } as object)).rejects.toThrow(/no option "prompt"/);
    write.dispose();
    generator.model.dispose();
  });

  test("does not take an encoder-decoder", async () => {
    await expect(pipeline("text-generation", writer)).rejects.toThrow(/it has an encoder: text2text-generation$/);
  });
});

describe("a model of the other kind", () => {
  test("that reads is refused, but where a summary is picked", async () => {
    for (const task of ["translation", "text2text-generation", "text-generation"] as const) {
      await expect(pipeline(task, tinyTask(), { engine })).rejects.toThrow(/has no decoder, so it cannot write text/);
      const bert = await loadPretrained(engine, tinyTask());
      await expect(pipeline(task, bert)).rejects.toThrow(/takes a model that writes, which loadGenerator loads$/);
      bert.model.dispose();
    }
    const summarize = await pipeline("summarization", tinyTask(), { engine });
    const [one, other] = await summarize(["It was good. It was long.", "It was bad."], { sentences: 1 });
    expect("It was good. It was long.").toContain(one!.summary_text);
    expect(one!.sentences).toHaveLength(1);
    expect(other!.summary_text).toBe("It was bad.");
    summarize.dispose();
  });

  test("that writes is refused where one reads, loaded or not", async () => {
    for (const task of ["ner", "fill-mask", "feature-extraction"] satisfies PipelineName[]) {
      for (const model of [writer, tinyWriter()]) {
        await expect(pipeline(task, model, { engine })).rejects.toThrow(
          /it writes text, for which there are the pipelines translation, summarization/,
        );
      }
    }
  });
});
