/** CrossEncoders of sentence-transformers: their own function, their order, and the ways in which they are saved. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { extractFeatures } from "../../../src/bert/tasks/feature_extraction.ts";
import { poolTokens } from "../../../src/bert/tasks/pooling.ts";
import { loadPretrained, type Pretrained } from "../../../src/bert/tasks/pretrained.ts";
import { rerank } from "../../../src/bert/tasks/rerank.ts";
import { embedText } from "../../../src/bert/tasks/sentence_embedding.ts";
import { classifyText } from "../../../src/bert/tasks/text_classification.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";
import { TINY } from "../tiny.ts";
import { moduleFiles, weightsOf } from "./module_files.ts";
import { labelHead, MASKED_LM_HEAD, tinyTask } from "./tiny_task.ts";

const HIDDEN = TINY.hidden_size;
const QUERY = "a good film";
const DOCUMENTS = ["bad", "the film was good .", "they are long and dull ."];
const IDENTITY = "torch.nn.modules.linear.Identity";
const SIGMOID = "torch.nn.modules.activation.Sigmoid";

let engine: Engine;
const loaded: Pretrained[] = [];
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
});
afterAll(() => {
  for (const { model } of loaded) model.dispose();
  engine.dispose();
});

const load = async (task: Parameters<typeof tinyTask>[0]): Promise<Pretrained> => {
  const pretrained = await loadPretrained(engine, tinyTask(task));
  loaded.push(pretrained);
  return pretrained;
};
const labels = (count: number): object =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [i, `LABEL_${i}`]));
const classifier = (count: number, config: object = {}, files: Record<string, object> = {}): Promise<Pretrained> =>
  load({
    config: { id2label: labels(count), ...config },
    heads: labelHead(count),
    files: Object.fromEntries(Object.entries(files).map(([path, content]) => [path, JSON.stringify(content)])),
  });

/** The logits of a query with each document. */
async function logitsOf({ model, tokenizer }: Pretrained, query = QUERY): Promise<number[][]> {
  const sequences = DOCUMENTS.map((document) => {
    const { ids, typeIds } = tokenizer.encode(query, document);
    return { inputIds: ids, tokenTypeIds: typeIds };
  });
  const { logits } = await model.forward(sequences, { logits: true });
  const [, width] = logits!.shape;
  return DOCUMENTS.map((_, i) => [...logits!.data.subarray(i * width!, (i + 1) * width!)]);
}

async function scoresOf(pretrained: Pretrained, options = {}): Promise<{ order: number[]; scores: number[] }> {
  const [ranked] = await rerank(pretrained, [{ query: QUERY, documents: DOCUMENTS }], options);
  const scores = DOCUMENTS.map((_, i) => ranked!.find(({ corpus_id }) => corpus_id === i)!.score);
  return { order: ranked!.map(({ corpus_id }) => corpus_id), scores };
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const descending = (values: readonly number[]): number[] => [...values.keys()].sort((a, b) => values[b]! - values[a]!);
const expectClose = (actual: readonly number[], right: readonly number[]): void => {
  expect(actual).toHaveLength(right.length);
  for (const [i, value] of right.entries()) expect(actual[i]).toBeCloseTo(value, 5);
};

const newer = (path: string | null) => ({ sentence_transformers: { activation_fn: path, version: "4.1.0" } });
const older = (path: string | null) => ({ sbert_ce_default_activation_function: path });

describe("the function from logits to scores", () => {
  test.each<[string, object, (x: number) => number]>([
    ["of config.json", newer(IDENTITY), (x) => x],
    ["under its older key", older(IDENTITY), (x) => x],
    ["of both keys the newer", { ...newer(SIGMOID), ...older(IDENTITY) }, sigmoid],
    ["a newer key without one", { ...newer(null), ...older(IDENTITY) }, sigmoid],
    ["none", {}, sigmoid],
    ["Tanh", newer("torch.nn.modules.activation.Tanh"), Math.tanh],
    ["Softplus", newer("torch.nn.Softplus"), (x) => Math.log1p(Math.exp(x))],
  ])("%s", async (_, config, apply) => {
    const pretrained = await classifier(1, config);
    const logits = (await logitsOf(pretrained)).flat();
    const { order, scores } = await scoresOf(pretrained);
    expectClose(scores, logits.map(apply));
    expect(order).toEqual(descending(logits));
    expectClose((await scoresOf(pretrained, { functionToApply: "none" })).scores, logits);
    const pairs = DOCUMENTS.map((pair) => ({ text: QUERY, pair }));
    expectClose(
      (await classifyText(pretrained, pairs)).map(([best]) => best!.score),
      logits.map(apply),
    );
  });

  test("of several labels: a score for each, and nothing that could be ranked", async () => {
    const pairs = DOCUMENTS.map((pair) => ({ text: QUERY, pair }));
    const scores = async (pretrained: Pretrained): Promise<number[]> =>
      (await classifyText(pretrained, pairs, { topK: null })).flatMap((all) =>
        [...all].sort((a, b) => a.label.localeCompare(b.label)).map(({ score }) => score),
      );
    const bare = await classifier(3, newer(IDENTITY));
    const logits = await logitsOf(bare);
    expectClose(await scores(bare), logits.flat());
    expectClose(await scores(await classifier(3, newer(SIGMOID))), logits.flat().map(sigmoid));
    const softmax = logits.flatMap((row) => {
      const sum = row.reduce((total, x) => total + Math.exp(x), 0);
      return row.map((x) => Math.exp(x) / sum);
    });
    expectClose(await scores(await classifier(3)), softmax);
    for (const unsaid of [
      newer(null),
      { sentence_transformers: {} },
      older(null),
      { ...newer(null), ...older(SIGMOID) },
    ]) {
      expectClose(await scores(await classifier(3, unsaid)), logits.flat());
    }
    expectClose(
      await scores(await classifier(3, { sentence_transformers: {}, ...older(SIGMOID) })),
      logits.flat().map(sigmoid),
    );
    expect(() => rerank(bare, [])).toThrow(/needs 1 label, the model has 3; the method "embeddings"/);
  });

  test("that is unknown is refused by name where it is needed", async () => {
    const pretrained = await classifier(1, newer("my.Function"));
    for (const task of [() => rerank(pretrained, []), () => classifyText(pretrained, [])]) {
      expect(task).toThrow(/its activation_fn is "my.Function"; there are torch's CELU, /);
    }
    expect((await scoresOf(pretrained, { functionToApply: "sigmoid" })).scores).toHaveLength(3);
    await expect(classifier(1, newer(7 as never))).rejects.toThrow(
      /activation_fn is 7, it must be the path of a class/,
    );
  });
});

test("what a function makes equal keeps the order of its logits", async () => {
  const pretrained = await classifier(1, newer("torch.nn.Softmin")); // of one label always 1
  const logits = (await logitsOf(pretrained)).flat();
  const ranked = async (documents: readonly string[]): Promise<string[]> =>
    (await rerank(pretrained, [{ query: QUERY, documents }]))[0]!.map(({ text, score }) => `${score} ${text}`);
  const right = descending(logits).map((i) => `1 ${DOCUMENTS[i]}`);
  expect(await ranked(DOCUMENTS)).toEqual(right);
  expect(await ranked([...DOCUMENTS].reverse())).toEqual(right);
});

describe("saved as modules", () => {
  const encoder = { transformer_task: "sequence-classification", module_output_name: "scores" };
  const own = (config: object) => ({ model_type: "CrossEncoder", prompts: {}, default_prompt_name: null, ...config });
  const alone = JSON.parse(moduleFiles([])["modules.json"] as string) as object;

  test("of one Transformer: the same classifier, with the function of its own file", async () => {
    const pretrained = await classifier(1, newer(SIGMOID), {
      "modules.json": alone,
      "sentence_bert_config.json": encoder,
      "config_sentence_transformers.json": own({ activation_fn: IDENTITY }),
    });
    const logits = (await logitsOf(pretrained)).flat();
    const { order, scores } = await scoresOf(pretrained);
    expectClose(scores, logits);
    expect(order).toEqual(descending(logits));
    const [labelled] = await classifyText(pretrained, [{ text: QUERY, pair: DOCUMENTS[0]! }]);
    expect(labelled![0]!.score).toBeCloseTo(logits[0]!, 5);
    // it has no vectors of its own: those of the bare encoder are given
    const [vector] = await embedText(pretrained, [QUERY]);
    expectClose([...vector!], [...(await embedText(await classifier(1), [QUERY]))[0]!]);
  });

  test("without a function: the one of config.json, else a sigmoid, of several labels none", async () => {
    const files = {
      "modules.json": alone,
      "sentence_bert_config.json": encoder,
      "config_sentence_transformers.json": own({}),
    };
    const configured = await classifier(1, older(IDENTITY), files);
    const logits = (await logitsOf(configured)).flat();
    expectClose((await scoresOf(configured)).scores, logits);
    expectClose((await scoresOf(await classifier(1, {}, files))).scores, logits.map(sigmoid));
    const three = await classifier(3, {}, files);
    const [all] = await classifyText(three, [{ text: QUERY, pair: DOCUMENTS[0]! }], { topK: null });
    const [row] = await logitsOf(three);
    expectClose(
      all!.map(({ score }) => score),
      [...row!].sort((a, b) => b - a),
    );
    expect(() => rerank(three, [])).toThrow(/needs 1 label, the model has 3/);
  });

  test("a prompt stands before the query, and long pairs are cut as the folder says", async () => {
    const files = {
      "modules.json": alone,
      "sentence_bert_config.json": { ...encoder, max_seq_length: 7, do_lower_case: true },
      "config_sentence_transformers.json": own({ prompts: { ask: "IS " }, default_prompt_name: "ask" }),
    };
    const pretrained = await classifier(1, newer(IDENTITY), files);
    const warnings: string[] = [];
    const score = async (query: string, document: string, options = {}): Promise<number> => {
      const onWarning = (message: string): void => void warnings.push(message);
      const [ranked] = await rerank(pretrained, [{ query, documents: [document] }], { onWarning, ...options });
      return ranked![0]!.score;
    };
    const spelt = await score("is it", "bad", { prompt: "" });
    expect(await score("it", "Bad")).toBeCloseTo(spelt, 6);
    expect(await score("it", "bad", { promptName: "ask" })).toBeCloseTo(spelt, 6);
    expect(await score("it", "bad", { prompt: "" })).not.toBeCloseTo(spelt, 6);
    const [labelled] = await classifyText(pretrained, [{ text: "it", pair: "bad" }]);
    expect(labelled![0]!.score).toBeCloseTo(spelt, 6);
    expect(warnings).toEqual([]);
    // vectors of the encoder, and a classifier that belongs to no cross-encoder, know nothing of that
    const embeddings = await score("it", "bad", { method: "embeddings" });
    const bare = await classifier(1);
    const [ranked] = await rerank(bare, [{ query: "it", documents: ["bad"] }], { method: "embeddings" });
    expect(embeddings).toBeCloseTo(ranked![0]!.score, 6);
    const vectors = await classifier(1, newer(IDENTITY), {
      ...files,
      "modules.json": JSON.parse(moduleFiles([{ kind: "Pooling" }])["modules.json"] as string) as object,
      "1_Pooling/config.json": {},
      "sentence_bert_config.json": {},
      "config_sentence_transformers.json": { prompts: { query: "is " }, default_prompt_name: "query" },
    });
    const [plain] = await classifyText(vectors, [{ text: "is it", pair: "bad" }]);
    expect(plain![0]!.score).toBeCloseTo(spelt, 6);
    await score("it", "bad and dull .");
    expect(warnings).toEqual([expect.stringMatching(/the model takes 7/)]);
  });

  test("of a classifier and a Dense behind it", async () => {
    const config = { in_features: 2, out_features: 1, activation_function: IDENTITY, module_input_name: "scores" };
    const tensors = weightsOf({ "linear.weight": [[2, -0.5]], "linear.bias": [0.25] });
    const pretrained = await load({
      files: {
        ...moduleFiles([{ kind: "Dense", config, tensors }]),
        "sentence_bert_config.json": JSON.stringify(encoder),
        "config_sentence_transformers.json": JSON.stringify(own({ activation_fn: IDENTITY })),
      },
    });
    const right = (await logitsOf(pretrained)).map(([a, b]) => 2 * a! - 0.5 * b! + 0.25);
    expectClose((await scoresOf(pretrained)).scores, right);
  });

  const row = Array.from({ length: HIDDEN }, (_, i) => Math.sin(2 * i + 1));
  const scoring = (rows: number[][]) => ({
    kind: "Dense",
    config: {
      in_features: HIDDEN,
      out_features: rows.length,
      bias: false,
      activation_function: IDENTITY,
      module_output_name: "scores",
    },
    tensors: weightsOf({ "linear.weight": rows }),
  });
  const modular = (rows: number[][]) =>
    load({
      architecture: "BertModel",
      heads: {},
      files: {
        ...moduleFiles([{ kind: "Pooling", config: { pooling_mode: "mean" } }, { kind: "Normalize" }, scoring(rows)]),
        "config_sentence_transformers.json": JSON.stringify(own({ activation_fn: SIGMOID })),
      },
    });

  test("of an encoder and a Dense that gives scores", async () => {
    const pretrained = await modular([row]);
    const features = await extractFeatures(
      pretrained,
      DOCUMENTS.map((pair) => ({ text: QUERY, pair })),
    );
    const logits = features.map(({ shape, data }) => {
      const rows = Array.from({ length: shape[0]! }, (_, i) => data.subarray(i * HIDDEN, (i + 1) * HIDDEN));
      const vector = poolTokens(rows, "mean");
      return vector.reduce((sum, x, i) => sum + x * row[i]!, 0) / Math.hypot(...vector);
    });
    const { order, scores } = await scoresOf(pretrained);
    expectClose(scores, logits.map(sigmoid));
    expect(order).toEqual(descending(logits));
    const [labelled] = await classifyText(pretrained, [{ text: QUERY, pair: DOCUMENTS[0]! }]);
    expect(labelled).toEqual([{ label: "LABEL_0", score: expect.closeTo(sigmoid(logits[0]!), 5) }]);
    const two = await modular([row, row.map((x) => -x)]);
    const [both] = await classifyText(two, [{ text: QUERY, pair: DOCUMENTS[0]! }], { topK: null });
    expectClose(
      both!.map(({ score }) => score),
      [sigmoid(Math.abs(logits[0]!)), sigmoid(-Math.abs(logits[0]!))],
    );
    expect(() => rerank(two, [])).toThrow(/needs 1 label, the model has 2/);
  });

  test("without a classifier, or without scores, they are refused", async () => {
    const files = {
      "modules.json": JSON.stringify(alone),
      "sentence_bert_config.json": JSON.stringify(encoder),
      "config_sentence_transformers.json": JSON.stringify(own({})),
    };
    const bare = await load({ architecture: "BertModel", heads: {}, files });
    expect(() => rerank(bare, [])).toThrow(/ranking with a cross-encoder needs a classifier of sequences/);
    const vectors = {
      ...moduleFiles([{ kind: "Pooling" }]),
      "config_sentence_transformers.json": JSON.stringify(own({})),
    };
    const unscored = await load({ files: vectors });
    expect(() => rerank(unscored, [])).toThrow(/has Transformer, Pooling; none of them gives scores/);
  });
});

describe("without a method named", () => {
  test("a model of vectors is asked for vectors, though it has a classifier", async () => {
    const pretrained = await load({
      config: { id2label: labels(1) },
      heads: labelHead(1),
      files: moduleFiles([{ kind: "Pooling" }]),
    });
    const { scores } = await scoresOf(pretrained);
    expectClose((await scoresOf(pretrained, { method: "embeddings" })).scores, scores);
    const crossed = await scoresOf(pretrained, { method: "cross-encoder" });
    expectClose(crossed.scores, (await logitsOf(pretrained)).flat().map(sigmoid));
  });

  test.each(["MLMTransformer", "Transformer"])("one of sparse vectors is refused, after %s", async (kind) => {
    const types = [`sentence_transformers.a.${kind}`, "sentence_transformers.b.SpladePooling"];
    const pretrained = await load({
      architecture: "BertForMaskedLM",
      heads: MASKED_LM_HEAD,
      files: {
        "modules.json": JSON.stringify(types.map((type, i) => ({ type, path: i === 0 ? "" : "1_SpladePooling" }))),
        "1_SpladePooling/config.json": "{}",
      },
    });
    expect(() => rerank(pretrained, [])).toThrow(/ranking does not compare sparse embeddings; name another method/);
    expect((await scoresOf(pretrained, { method: "embeddings" })).scores).toHaveLength(3);
  });
});
