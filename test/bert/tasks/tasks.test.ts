/** Tasks on small models with random weights: what each needs, what it gives, and what becomes of long texts. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ModelError } from "../../../src/bert/config.ts";
import { mapAttention } from "../../../src/bert/tasks/attention_maps.ts";
import { extractFeatures } from "../../../src/bert/tasks/feature_extraction.ts";
import { fillMask } from "../../../src/bert/tasks/fill_mask.ts";
import { choose } from "../../../src/bert/tasks/multiple_choice.ts";
import { predictNextSentence } from "../../../src/bert/tasks/next_sentence.ts";
import { loadPretrained, type Pretrained } from "../../../src/bert/tasks/pretrained.ts";
import { answerQuestions } from "../../../src/bert/tasks/question_answering.ts";
import { rerank } from "../../../src/bert/tasks/rerank.ts";
import { embedText } from "../../../src/bert/tasks/sentence_embedding.ts";
import { compareSentences } from "../../../src/bert/tasks/similarity.ts";
import { summarize } from "../../../src/bert/tasks/summarization.ts";
import { createTask, TASK_NAMES, type TaskName } from "../../../src/bert/tasks/task.ts";
import { classifyText } from "../../../src/bert/tasks/text_classification.ts";
import { classifyTokens } from "../../../src/bert/tasks/token_classification.ts";
import { cosine } from "../../../src/bert/tasks/vectors.ts";
import { classifyZeroShot } from "../../../src/bert/tasks/zero_shot.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";
import { labelHead, MASKED_LM_HEAD, NEXT_SENTENCE_HEAD, SPAN_HEAD, tinyTask, WORDS } from "./tiny_task.ts";

/** Tokens that the model takes. */
const MOST = 64;
const LONG = Array.from({ length: 200 }, (_, i) => WORDS[(i * 5) % WORDS.length]).join(" ");

let engine: Engine;
const models: Pretrained[] = [];
const load = async (options: Parameters<typeof tinyTask>[0]): Promise<Pretrained> => {
  const pretrained = await loadPretrained(engine, tinyTask(options));
  models.push(pretrained);
  return pretrained;
};
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
});
afterAll(() => {
  for (const { model } of models) model.dispose();
  engine.dispose();
});

const sum = (values: readonly number[]): number => values.reduce((total, x) => total + x, 0);
const logits = async (pretrained: Pretrained, text: string, pair?: string): Promise<number[]> => {
  const { ids, typeIds } = pretrained.tokenizer.encode(text, pair);
  const forward = await pretrained.model.forward([{ inputIds: ids, tokenTypeIds: typeIds }], { logits: true });
  return Array.from(forward.logits!.data);
};

describe("heads", () => {
  test("next sentence: the probability of class 0, that B follows A", async () => {
    const pretrained = await load({ architecture: "BertForNextSentencePrediction", heads: NEXT_SENTENCE_HEAD });
    const { ids, typeIds } = pretrained.tokenizer.encode("the film was good .", "it was long .");
    const forward = await pretrained.model.forward([{ inputIds: ids, tokenTypeIds: typeIds }], {
      seqRelationshipLogits: true,
    });
    const [a, b] = forward.seqRelationshipLogits!.data;
    const expected = 1 / (1 + Math.exp(b! - a!));
    const [result] = await predictNextSentence(pretrained, [{ text: "the film was good .", pair: "it was long ." }]);
    expect(result!.score).toBeCloseTo(expected, 6);
    expect(result!.is_next).toBe(expected > 0.5);
  });

  test("multiple choice: a softmax over the choices, however many", async () => {
    const pretrained = await load({ architecture: "BertForMultipleChoice", heads: labelHead(1) });
    const questions = [
      { prompt: "the film was", choices: ["good .", "bad and long .", "dull"] },
      { prompt: "is it", choices: ["not"] },
    ];
    const [three, one] = await choose(pretrained, questions);
    expect(three!.scores).toHaveLength(3);
    expect(sum([...three!.scores])).toBeCloseTo(1, 6);
    expect(three!.score).toBe(Math.max(...three!.scores));
    expect(three!.choice).toBe(questions[0]!.choices[three!.index]);
    expect(one).toEqual({ index: 0, choice: "not", score: 1, scores: [1] });
    await expect(choose(pretrained, [{ prompt: "a", choices: [] }])).rejects.toThrow(/input 1 has no choices/);
  });

  test("a reranker has one label, a sigmoid, and is not always 1", async () => {
    const pretrained = await load({ config: { id2label: { 0: "relevant" } }, heads: labelHead(1) });
    const documents = ["the film was good .", "bad", "they are long and dull ."];
    const expected = await Promise.all(
      documents.map(async (text) => 1 / (1 + Math.exp(-(await logits(pretrained, "a good film", text))[0]!))),
    );
    const [ranked] = await rerank(pretrained, [{ query: "a good film", documents }]);
    expect(ranked!.map(({ corpus_id }) => corpus_id)).toEqual([0, 1, 2].sort((a, b) => expected[b]! - expected[a]!));
    for (const { corpus_id, score, text } of ranked!) {
      expect(score).toBeCloseTo(expected[corpus_id]!, 5);
      expect(text).toBe(documents[corpus_id]);
    }
    expect(new Set(ranked!.map(({ score }) => score)).size).toBe(3);
    const [best] = await rerank(pretrained, [{ query: "a good film", documents }], { topK: 1 });
    expect(best).toEqual(ranked!.slice(0, 1));
    expect(await rerank(pretrained, [{ query: "a", documents: [] }])).toEqual([[]]);
    const pairs = await classifyText(pretrained, [{ text: "a good film", pair: documents[0]! }]);
    expect(pairs[0]![0]!.score).toBeCloseTo(expected[0]!, 5);
  });

  test("a classifier of more labels is refused by name, unless documents are to be ranked by their vectors", async () => {
    const pretrained = await load({});
    const documents = ["the film was good .", "bad", "a good film"];
    const [query, ...vectors] = await embedText(pretrained, ["a good film", ...documents]);
    const [ranked] = await rerank(pretrained, [{ query: "a good film", documents }], { method: "embeddings" });
    expect(ranked![0]).toMatchObject({ corpus_id: 2, score: expect.closeTo(1, 5) });
    for (const { corpus_id, score } of ranked!) expect(score).toBeCloseTo(cosine(query!, vectors[corpus_id]!), 5);
    for (const method of ["cross-encoder", undefined] as const) {
      expect(() => rerank(pretrained, [], { method })).toThrow(/needs 1 label, the model has 2/);
    }
  });

  test("zero-shot: labels share a probability, or each has its own", async () => {
    const labels = { 0: "contradiction", 1: "neutral", 2: "Entailment" };
    const pretrained = await load({ config: { id2label: labels }, heads: labelHead(3) });
    const candidateLabels = ["good", "bad", "long"];
    const rows = await Promise.all(candidateLabels.map((label) => logits(pretrained, "the film", `it was ${label} .`)));
    const hypothesisTemplate = "it was {} .";
    const [shared] = await classifyZeroShot(pretrained, ["the film"], { candidateLabels, hypothesisTemplate });
    expect(shared!.sequence).toBe("the film");
    expect(sum([...shared!.scores])).toBeCloseTo(1, 6);
    expect([...shared!.scores]).toEqual([...shared!.scores].sort((a, b) => b - a));
    const own = { candidateLabels, hypothesisTemplate, multiLabel: true };
    const [each] = await classifyZeroShot(pretrained, ["the film"], own);
    each!.labels.forEach((label, i) => {
      const [contradiction, , entailment] = rows[candidateLabels.indexOf(label)]!;
      expect(each!.scores[i]).toBeCloseTo(1 / (1 + Math.exp(contradiction! - entailment!)), 5);
    });
  });

  test("zero-shot refuses what it cannot work with", async () => {
    const pretrained = await load({});
    const run = (options: Parameters<typeof classifyZeroShot>[2]) => () => classifyZeroShot(pretrained, ["a"], options);
    expect(run({ candidateLabels: ["x"] })).toThrow(/none of its labels \(LABEL_0, LABEL_1\).*entailmentId/);
    expect(run({ candidateLabels: [], entailmentId: 1 })).toThrow(/candidateLabels is empty/);
    expect(run({ candidateLabels: ["x"], entailmentId: 1, hypothesisTemplate: "it is" })).toThrow(/has no \{\}/);
    await expect(run({ candidateLabels: ["x"], entailmentId: 1 })()).resolves.toHaveLength(1);
  });

  test("a task whose head is missing says what it needs and what there is", async () => {
    const encoder = await load({ architecture: "BertModel", heads: {} });
    const wanted: Partial<Record<TaskName, RegExp>> = {
      "fill-mask": /masked-LM head/,
      "text-classification": /a classifier of sequences; it has no classifier/,
      "token-classification": /a classifier of tokens; it has no classifier/,
      "question-answering": /a head for start and end/,
      "zero-shot-classification": /a classifier of sequences/,
      "sparse-embedding": /a masked-LM head/,
      "next-sentence-prediction": /next-sentence head/,
      "multiple-choice": /a classifier of choices/,
    };
    for (const name of TASK_NAMES) {
      const options = name === "zero-shot-classification" ? { candidateLabels: ["a"] } : {};
      const create = (): unknown => createTask(encoder, name as "zero-shot-classification", options as never);
      const why = wanted[name];
      if (why) {
        expect(create, name).toThrow(ModelError);
        expect(create, name).toThrow(why);
      } else expect(create, name).not.toThrow();
    }
    expect(() => createTask(encoder, "translation" as "fill-mask")).toThrow(
      /no task "translation"; there are fill-mask/,
    );
  });
});

describe("long texts", () => {
  test("a mask beyond the model's length is predicted from the window around it", async () => {
    const pretrained = await load({ architecture: "BertForMaskedLM", heads: MASKED_LM_HEAD });
    const words = LONG.split(" ");
    words[150] = "[MASK]";
    words[3] = "[MASK]";
    const text = words.join(" ");
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    const [fills] = await fillMask(pretrained, [text], { onWarning });
    expect(warnings).toEqual([]);
    expect(fills!.map((candidates) => candidates.length)).toEqual([5, 5]);
    // windows of 62 words begin every 31: the one at 124 has 26 before word 150, that at 93 only 4 after it
    const [alone] = await fillMask(pretrained, [words.slice(124, 124 + MOST - 2).join(" ")]);
    fills![1]!.forEach(({ token, score }, rank) => {
      expect(token).toBe(alone![0]![rank]!.token);
      expect(score).toBeCloseTo(alone![0]![rank]!.score, 6);
    });
    // the whole text, with the other mask in it
    expect(fills![1]![0]!.sequence).toMatch(/^\[CLS\] a .*\[MASK\]/);
    expect(fills![0]![0]!.sequence.length).toBeGreaterThan(0.9 * text.length);
    const [cut] = await fillMask(pretrained, [text], { truncation: true, onWarning });
    expect(cut).toHaveLength(1);
    expect(warnings).toEqual([expect.stringMatching(/has 202 tokens, the model takes 64: the rest is left out/)]);
  });

  test("entities come from all of it", async () => {
    const pretrained = await load({
      architecture: "BertForTokenClassification",
      config: { id2label: { 0: "A", 1: "B" } },
      heads: labelHead(2),
    });
    const [tokens] = await classifyTokens(pretrained, [LONG], { ignoreLabels: [] });
    expect(tokens).toHaveLength(200);
    tokens!.forEach(({ start, end, word }, i) => {
      expect(LONG.slice(start, end)).toBe(word);
      if (i > 0) expect(start).toBe(tokens![i - 1]!.end + 1);
    });
    const [split] = await classifyTokens(pretrained, [LONG.split(" ")], { ignoreLabels: [] });
    expect(split).toEqual(tokens);
    const warnings: string[] = [];
    const options = { ignoreLabels: [], truncation: true, onWarning: (message: string) => warnings.push(message) };
    expect((await classifyTokens(pretrained, [LONG], options))[0]).toHaveLength(MOST - 2);
    expect(warnings).toEqual([expect.stringMatching(/202 tokens, the model takes 64/)]);
    await expect(classifyTokens(pretrained, [LONG], { stride: 62 })).rejects.toThrow(
      /stride 62 must be less than the 62/,
    );
  });

  test("answers come from all of it, and a question is whole unless it is to be cut", async () => {
    const pretrained = await load({ architecture: "BertForQuestionAnswering", heads: SPAN_HEAD });
    const [answers] = await answerQuestions(pretrained, [{ question: "is it", context: LONG }], {
      topK: 1000,
      maxAnswerLen: 1,
    });
    // and the empty one, of score 0, where there are fewer than asked for
    expect(new Set(answers!.map(({ answer }) => answer))).toEqual(new Set([...LONG.split(" "), ""]));
    const long = { question: LONG, context: "a film" };
    await expect(answerQuestions(pretrained, [long])).rejects.toThrow(/leave no room/);
    const warnings: string[] = [];
    const cut = await answerQuestions(pretrained, [long], {
      maxQuestionLen: 9,
      onWarning: (message) => warnings.push(message),
    });
    expect(cut[0]).toHaveLength(1);
    expect(warnings).toEqual([expect.stringMatching(/has 200 tokens, maxQuestionLen is 9/)]);
    await expect(answerQuestions(pretrained, [{ question: "", context: "a" }])).rejects.toThrow(
      /input 1: question is empty/,
    );
  });

  test("where nothing can be merged they are cut, with both lengths in a warning", async () => {
    const pretrained = await load({});
    for (const task of [classifyText, extractFeatures, embedText, mapAttention]) {
      const warnings: string[] = [];
      await task(pretrained, [LONG, "a film"], { onWarning: (message) => warnings.push(message) });
      expect(warnings, task.name).toEqual([expect.stringMatching(/has 202 tokens, the model takes 64/)]);
    }
  });
});

describe("vectors at work", () => {
  test("similarity is the cosine, or what is asked for", async () => {
    const pretrained = await load({});
    const input = { source_sentence: "a good film", sentences: ["a good film", "they are dull ."] };
    const [same, other] = (await compareSentences(pretrained, [input]))[0]!;
    expect(same).toBeCloseTo(1, 6);
    expect(other).toBeLessThan(0.9999);
    const [distances] = await compareSentences(pretrained, [input], { similarity: "euclidean" });
    expect(distances![0]).toBeCloseTo(0, 3);
    expect(await compareSentences(pretrained, [{ ...input, sentences: [] }])).toEqual([[]]);
  });

  test("a summary is sentences of the text, in its order, and not the same one twice", async () => {
    const pretrained = await load({});
    const sentences = ["The film was good.", "The film was good.", "They are long and dull!", "Is it bad?"];
    const text = `  ${sentences.join("  ")} `;
    for (const method of ["mmr", "centrality"] as const) {
      const [summary] = await summarize(pretrained, [text], { sentences: 2, method });
      expect(summary!.sentences).toHaveLength(2);
      for (const { text: sentence, start, end } of summary!.sentences) expect(text.slice(start, end)).toBe(sentence);
      expect(summary!.sentences[0]!.start).toBeLessThan(summary!.sentences[1]!.start);
      expect(summary!.summary_text).toBe(summary!.sentences.map((sentence) => sentence.text).join(" "));
    }
    const [diverse] = await summarize(pretrained, [text], { sentences: 3, relevance: 0.1 });
    expect(new Set(diverse!.sentences.map((sentence) => sentence.text)).size).toBe(3);
    const [whole] = await summarize(pretrained, [text], { sentences: 9 });
    expect(whole!.summary_text).toBe(sentences.join(" "));
    expect(await summarize(pretrained, [""])).toEqual([{ summary_text: "", sentences: [] }]);
    expect(() => summarize(pretrained, [text], { relevance: 2 })).toThrow(/relevance is 2/);
  });

  test("attention maps have a row that sums to 1 for every token of every head and layer", async () => {
    const pretrained = await load({});
    const maps = await mapAttention(pretrained, ["the film was good .", { text: "a film", pair: "is bad" }]);
    expect(maps[1]!.tokens).toEqual(["[CLS]", "a", "film", "[SEP]", "is", "bad", "[SEP]"]);
    for (const { tokens, attentions } of maps) {
      expect(attentions).toHaveLength(1);
      const { shape, data } = attentions[0]!;
      expect(shape).toEqual([2, tokens.length, tokens.length]);
      for (let at = 0; at < data.length; at += tokens.length) {
        expect(sum([...data.subarray(at, at + tokens.length)])).toBeCloseTo(1, 5);
      }
    }
  });
});

test("a task gives the same from a list and from a stream", async () => {
  const pretrained = await load({});
  const texts = Array.from({ length: 300 }, (_, i) => WORDS.slice(0, 1 + (i % WORDS.length)).join(" "));
  const task = createTask(pretrained, "text-classification", { topK: null, tokenBudget: 512 });
  const listed = await task.run(texts);
  async function* source(): AsyncGenerator<string> {
    yield* texts;
  }
  let i = 0;
  for await (const labels of task.stream(source(), { tokenBudget: 256 })) {
    const expected = listed[i++]!;
    expect(labels.map(({ label }) => label)).toEqual(expected.map(({ label }) => label));
    for (const [rank, { score }] of labels.entries()) expect(score).toBeCloseTo(expected[rank]!.score, 5);
  }
  expect(i).toBe(300);
});
