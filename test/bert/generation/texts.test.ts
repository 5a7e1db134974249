/** Texts through a model that writes, with its tokenizer. */

import { afterAll, expect, test } from "vitest";
import { generateTexts, loadGenerator, streamText } from "../../../src/index.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";
import { memoryFolder } from "../../files/build.ts";
import { tinyWriter, writerFiles } from "./tiny_writer.ts";

const engine = await Engine.create(await testDevice());
const writer = await loadGenerator(engine, tinyWriter());
afterAll(() => writer.model.dispose());

const CLEAN_UP = JSON.stringify({ clean_up_tokenization_spaces: true });
const TEXTS = ["the film was good", "a movie is long and dull", "so it was"];

test.each([1, 2, 3, 4])(
  "pieces are those of the whole text, also where decoding closes gaps, seed %d",
  async (seed) => {
    // every token but these is forbidden, so that "do n ' t" and the like come about
    const words = writerFiles()["vocab.txt"] as string;
    const vocabulary = words.replace("film", "do").replace("movie", "n").replace("long", "'").replace("dull", "t");
    const own = await loadGenerator(
      engine,
      memoryFolder({ ...writerFiles(), "vocab.txt": vocabulary, "tokenizer_config.json": CLEAN_UP }),
    );
    const badWordsIds = Array.from({ length: 50 }, (_, id) => [id]).filter(([id]) => ![8, 9, 14, 15].includes(id!));
    const options = { badWordsIds, doSample: true, seed, temperature: 5, maxLength: 60, minLength: 60 };
    const [results] = await generateTexts(own, [TEXTS[0]!], options);
    const whole = results![0]!;
    const pieces: string[] = [];
    for await (const piece of streamText(own, TEXTS[0]!, options)) pieces.push(piece);
    expect(pieces.join("")).toBe(whole.text);
    expect(pieces.length).toBeGreaterThan(3);
    own.model.dispose();
  },
);

test("results are in the order of texts, with what was asked", async () => {
  const results = await generateTexts(writer, TEXTS, {
    numBeams: 3,
    numReturnSequences: 2,
    maxLength: 9,
    prompt: "it was",
  });
  expect(results.map((of) => of.length)).toEqual([2, 2, 2]);
  for (const { text, ids } of results.flat()) {
    expect(text).toMatch(/^it was/);
    expect(ids.length).toBeLessThanOrEqual(9);
  }
  const bad = await generateTexts(writer, TEXTS, { maxLength: 20, badWords: ["film", "good"] });
  for (const { text } of bad.flat()) expect(text).not.toMatch(/film|good/);
});

test("a source that is too long is cut and told of, or refused", async () => {
  const long = "good ".repeat(90);
  const warnings: string[] = [];
  await generateTexts(writer, [long], { maxLength: 4, onWarning: (text) => warnings.push(text) });
  expect(warnings).toEqual([expect.stringMatching(/has 92 tokens, the model takes 64: the rest is left out$/)]);
  await expect(generateTexts(writer, [long], { truncation: false })).rejects.toThrow(
    /has 92 tokens, the model takes 64: shorten it, or leave truncation on$/,
  );
  await expect(generateTexts(writer, "one" as never)).rejects.toThrow(TypeError);
});

test.each<[object, RegExp]>([
  [{ badWords: "film" }, /^badWords is "film"; give a list of texts$/],
  [{ badWords: [""] }, /^badWords has "", which has no tokens: leave it out$/],
  [{ badWords: [5] }, /^badWords has 5; give texts$/],
  [{ prompt: 5 }, /^prompt is 5; give a text$/],
])("refuses %o in words", async (options, message) => {
  await expect(generateTexts(writer, TEXTS, options)).rejects.toThrow(message);
});

test("what the model's own files ask for in vain is said of them", async () => {
  const own = await loadGenerator(engine, tinyWriter({ generation: { num_beams: "four" } }));
  await expect(generateTexts(own, TEXTS)).rejects.toThrow(/^the model's own num_beams is "four", it must be a whole/);
  expect(await generateTexts(own, TEXTS, { numBeams: 1, maxLength: 4 })).toHaveLength(3);
  own.model.dispose();
});
