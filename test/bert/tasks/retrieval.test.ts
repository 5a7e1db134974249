/** Sparse embeddings and late interaction as tasks: what the files beside a checkpoint decide. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadPretrained, type Pretrained } from "../../../src/bert/tasks/pretrained.ts";
import { type RankingOptions, rerank } from "../../../src/bert/tasks/rerank.ts";
import { embedSparse } from "../../../src/bert/tasks/sparse_embedding.ts";
import { createTask } from "../../../src/bert/tasks/task.ts";
import { maxSim } from "../../../src/bert/tasks/vectors.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";
import { TINY } from "../tiny.ts";
import { MASKED_LM_HEAD, tinyTask } from "./tiny_task.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
});
afterAll(() => engine.dispose());

const json = (files: Record<string, object>): Record<string, string> =>
  Object.fromEntries(Object.entries(files).map(([path, content]) => [path, JSON.stringify(content)]));

describe("sparse embeddings", () => {
  const load = (files: Record<string, object> = {}): Promise<Pretrained> =>
    loadPretrained(engine, tinyTask({ architecture: "BertForMaskedLM", heads: MASKED_LM_HEAD, files: json(files) }));
  const spladeFolder = (pooling: object) => ({
    "modules.json": [
      { path: "", type: "sentence_transformers.sparse_encoder.models.MLMTransformer" },
      { path: "1_SpladePooling", type: "sentence_transformers.sparse_encoder.models.SpladePooling" },
    ],
    "1_SpladePooling/config.json": pooling,
    "sentence_bert_config.json": { max_seq_length: 5 },
  });
  const TEXTS = ["the film was good .", "a bad movie"];

  test("are the weights above 0, heaviest first", async () => {
    const pretrained = await load();
    const sequences = TEXTS.map((text) => ({ inputIds: pretrained.tokenizer.encode(text).ids }));
    const { sparseEmbedding } = await pretrained.model.forward(sequences, { sparseEmbedding: true });
    const results = await embedSparse(pretrained, TEXTS);
    for (const [i, entries] of results.entries()) {
      const row = sparseEmbedding!.data.subarray(i * TINY.vocab_size, (i + 1) * TINY.vocab_size);
      expect(entries).toHaveLength(row.filter((value) => value > 0).length);
      for (const { index, value } of entries) expect(value).toBeCloseTo(row[index]!, 6);
      expect(entries.map(({ value }) => value)).toEqual(entries.map(({ value }) => value).sort((a, b) => b - a));
    }
    expect(results[0]).not.toEqual(results[1]);
    const [best] = await createTask(pretrained, "sparse-embedding", { topK: 2 }).run(TEXTS);
    expect(best).toEqual(results[0]!.slice(0, 2));
    expect(() => embedSparse(pretrained, TEXTS, { topK: 0 })).toThrow("topK is 0");
    pretrained.model.dispose();
  });

  test("follow the folder of a SparseEncoder, and refuse what is not run", async () => {
    const [plain, twice] = [await load(), await load(spladeFolder({ activation_function: "log1p_relu" }))];
    const [cut] = await embedSparse(plain, ["the film was"]);
    const warnings: string[] = [];
    const [entries] = await embedSparse(twice, TEXTS, { onWarning: (message) => warnings.push(message) });
    expect(warnings).toEqual([expect.stringMatching(/has 7 tokens, the model takes 5/)]);
    expect(entries!.map(({ index }) => index)).toEqual(cut!.map(({ index }) => index));
    for (const [i, { value }] of entries!.entries()) expect(value).toBeCloseTo(Math.log1p(cut![i]!.value), 6);
    const summed = await load(spladeFolder({ pooling_strategy: "sum" }));
    expect(() => embedSparse(summed, TEXTS)).toThrow(/pooling_strategy is "sum"; expected max/);
    for (const { model } of [plain, twice, summed]) model.dispose();
  });
});

describe("late interaction", () => {
  const DIM = 6;
  const load = (files: Record<string, object> = {}): Promise<Pretrained> =>
    loadPretrained(
      engine,
      tinyTask({
        architecture: "HF_ColBERT",
        heads: { "linear.weight": [DIM, TINY.hidden_size] },
        files: json(files),
      }),
    );
  const QUERY = "is the film good";
  const DOCUMENTS = ["it was long . and dull .", "the film was good .", "a"];
  const METADATA = { query_token_id: "##0", doc_token_id: "##1", query_maxlen: 9, doc_maxlen: 8 };
  const PYLATE = {
    query_prefix: "##0",
    document_prefix: "##1",
    query_length: 9,
    document_length: 8,
    attend_to_expansion_tokens: false,
    skiplist_words: ["."],
  };

  /** Scores in the order of the documents. */
  const scoresOf = async (pretrained: Pretrained, options: RankingOptions = {}): Promise<number[]> => {
    const [ranked] = await rerank(pretrained, [{ query: QUERY, documents: DOCUMENTS }], options);
    expect(ranked!.map(({ score }) => score)).toEqual(ranked!.map(({ score }) => score).sort((a, b) => b - a));
    return DOCUMENTS.map((_, i) => ranked!.find(({ corpus_id }) => corpus_id === i)!.score);
  };

  /** Scores of what is spelt out in tokens. `.` of documents is left out where `skips`. */
  async function expected(
    { model, tokenizer }: Pretrained,
    [query, ...documents]: readonly string[],
    { unseen = 0, skips = false } = {},
  ): Promise<number[]> {
    const id = (token: string): number => tokenizer.tokenToId(token)!;
    const sequences = [query!, ...documents].map((tokens, s) => {
      const inputIds = tokens.split(" ").map(id);
      const seen = inputIds.length - (s === 0 ? unseen : 0);
      return { inputIds, attentionMask: inputIds.map((_, i) => Number(i < seen)) };
    });
    const { tokenEmbeddings, cuSeqlens } = await model.forward(sequences, { tokenEmbeddings: true });
    const vectors = sequences.map((_, s) =>
      tokenEmbeddings!.data.subarray(cuSeqlens[s]! * DIM, cuSeqlens[s + 1]! * DIM),
    );
    return documents.map((tokens, i) => {
      const kept = tokens.split(" ").flatMap((token, at) => (skips && token === "." ? [] : [at]));
      return maxSim(vectors[0]!, vectors[i + 1]!, DIM, kept);
    });
  }

  const expectClose = (actual: readonly number[], wanted: readonly number[]): void => {
    expect(actual).toHaveLength(wanted.length);
    for (const [i, value] of wanted.entries()) expect(actual[i]).toBeCloseTo(value, 5);
  };

  test("without files compares the texts as they are, and is what the model is taken for", async () => {
    const pretrained = await load();
    const wanted = await expected(pretrained, [
      "[CLS] is the film good [SEP]",
      "[CLS] it was long . and dull . [SEP]",
      "[CLS] the film was good . [SEP]",
      "[CLS] a [SEP]",
    ]);
    expectClose(await scoresOf(pretrained), wanted);
    expectClose(await scoresOf(pretrained, { method: "late-interaction" }), wanted);
    expect(await scoresOf(pretrained, { method: "embeddings" })).not.toEqual(wanted);
    pretrained.model.dispose();
  });

  test.each([
    ["artifact.metadata of colbert-ir", { "artifact.metadata": METADATA }],
    ["what PyLate writes", { "config_sentence_transformers.json": PYLATE }],
  ])("marks, cuts, fills up and leaves out as %s says", async (_, files) => {
    const pretrained = await load(files);
    const wanted = await expected(
      pretrained,
      [
        "[CLS] ##0 is the film good [SEP] [MASK] [MASK]",
        "[CLS] ##1 it was long . and [SEP]",
        "[CLS] ##1 the film was good . [SEP]",
        "[CLS] ##1 a [SEP]",
      ],
      { unseen: 2, skips: true },
    );
    expectClose(await scoresOf(pretrained), wanted);
    pretrained.model.dispose();
  });

  test("attends to [MASK], or does without, and keeps punctuation, where that is said", async () => {
    const documents = ["[CLS] ##1 it was long . and [SEP]", "[CLS] ##1 the film was good . [SEP]", "[CLS] ##1 a [SEP]"];
    const attends = { ...METADATA, attend_to_mask_tokens: true, mask_punctuation: false };
    const seen = await load({ "artifact.metadata": attends });
    const filled = await expected(seen, ["[CLS] ##0 is the film good [SEP] [MASK] [MASK]", ...documents]);
    expectClose(await scoresOf(seen), filled);
    const alone = { ...PYLATE, do_query_expansion: false, skiplist_words: [] };
    const bare = await load({ "config_sentence_transformers.json": alone });
    expectClose(await scoresOf(bare), await expected(bare, ["[CLS] ##0 is the film good [SEP]", ...documents]));
    for (const { model } of [seen, bare]) model.dispose();
  });

  test("says which file is wrong, and which token is none", async () => {
    const why = async (files: Record<string, object>, message: RegExp): Promise<void> => {
      const pretrained = await load(files);
      expect(() => rerank(pretrained, [])).toThrow(message);
      pretrained.model.dispose();
    };
    await why({ "artifact.metadata": { query_maxlen: "32" } }, /artifact.metadata: query_maxlen is "32"; expected a/);
    await why({ "artifact.metadata": {} }, /"\[unused0\]" of late interaction is no token/);
    const plain = await loadPretrained(engine, tinyTask());
    expect(() => rerank(plain, [], { method: "late-interaction" })).toThrow(/needs a projection of token vectors/);
    plain.model.dispose();
  });
});

test("maxSim is the sum of the greatest dot products", () => {
  const query = Float32Array.of(1, 0, 0, 2);
  const document = Float32Array.of(3, 1, -1, 4);
  expect(maxSim(query, document, 2)).toBe(3 + 8);
  expect(maxSim(query, document, 2, [0])).toBe(3 + 2);
});
