/** A slip in the name of an option, of an output or of a range is refused by name, everywhere, with what there is. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BertModel } from "../src/bert/model.ts";
import { mapAttention } from "../src/bert/tasks/attention_maps.ts";
import { extractFeatures } from "../src/bert/tasks/feature_extraction.ts";
import { fillMask } from "../src/bert/tasks/fill_mask.ts";
import { choose } from "../src/bert/tasks/multiple_choice.ts";
import { predictNextSentence } from "../src/bert/tasks/next_sentence.ts";
import { type PipelineName, pipeline } from "../src/bert/tasks/pipeline.ts";
import { loadPretrained, type Pretrained } from "../src/bert/tasks/pretrained.ts";
import { answerQuestions } from "../src/bert/tasks/question_answering.ts";
import { rerank } from "../src/bert/tasks/rerank.ts";
import { embedText } from "../src/bert/tasks/sentence_embedding.ts";
import { compareSentences } from "../src/bert/tasks/similarity.ts";
import { embedSparse } from "../src/bert/tasks/sparse_embedding.ts";
import { runPlan, streamPlan } from "../src/bert/tasks/stream.ts";
import { summarize } from "../src/bert/tasks/summarization.ts";
import { createTask, TASK_NAMES, type TaskName } from "../src/bert/tasks/task.ts";
import { classifyText } from "../src/bert/tasks/text_classification.ts";
import { classifyTokens } from "../src/bert/tasks/token_classification.ts";
import { classifyZeroShot } from "../src/bert/tasks/zero_shot.ts";
import { openCheckpoint } from "../src/files/checkpoint.ts";
import { httpFolder } from "../src/files/http.ts";
import { hubFolder } from "../src/files/hub.ts";
import { modelFolder } from "../src/files/model_folder.ts";
import { requireKnown } from "../src/files/options.ts";
import { createEngine, requestDevice, resolveModel } from "../src/node/index.ts";
import { deviceDescriptor } from "../src/runtime/device.ts";
import { Engine } from "../src/runtime/engine.ts";
import { tuneMatmul } from "../src/runtime/ops/tune.ts";
import { labelHead, MASKED_LM_HEAD, NEXT_SENTENCE_HEAD, SPAN_HEAD, tinyTask } from "./bert/tasks/tiny_task.ts";
import { tinyModel } from "./bert/tiny.ts";
import { testDevice } from "./device.ts";

/** As from plain JavaScript, where no type tells. */
const wrong = (options: object): never => options as never;
const slip = wrong({ slip: 1 });

/** What a call is refused with, thrown or rejected; undefined where it is not. */
async function refusal(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error;
  }
}

async function expectRefused(call: () => unknown, message: string | RegExp): Promise<void> {
  const error = await refusal(call);
  expect(error, `${message}`).toBeInstanceOf(TypeError);
  if (typeof message === "string") expect((error as Error).message).toBe(message);
  else expect((error as Error).message).toMatch(message);
}

let engine: Engine;
let bert: Pretrained;
/** By the heads they have. */
let models: Record<"labels" | "tokens" | "choices" | "masks" | "spans" | "pairs", Pretrained>;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
  const load = (kind: string, heads: Parameters<typeof tinyTask>[0] & object): Promise<Pretrained> =>
    loadPretrained(engine, tinyTask({ architecture: `BertFor${kind}`, ...heads }));
  models = {
    labels: await load("SequenceClassification", { heads: labelHead(2) }),
    tokens: await load("TokenClassification", { heads: labelHead(2) }),
    choices: await load("MultipleChoice", { heads: labelHead(1) }),
    masks: await load("MaskedLM", { heads: MASKED_LM_HEAD }),
    spans: await load("QuestionAnswering", { heads: SPAN_HEAD }),
    pairs: await load("NextSentencePrediction", { heads: NEXT_SENTENCE_HEAD }),
  };
  bert = models.labels;
});
afterAll(() => engine.dispose());

const COMMON = "tokenBudget, signal, onProgress, checkFinite, onWarning";
const VECTOR = `pooling, normalize, prompt, promptName, truncateDim, ${COMMON}`;
const ANSWERS = "topK, maxSeqLen, docStride, maxAnswerLen, maxQuestionLen, handleImpossibleAnswer, alignToWords";

test("all that is unknown is in one message, also what is undefined or what every object has", () => {
  const known = { topK: 1, signal: 1 } as const;
  const check = (options: object) => () => requireKnown<Partial<typeof known>>("f", options, known);
  expect(check({})).not.toThrow();
  expect(check({ topK: 1, signal: undefined })).not.toThrow();
  expect(check({ toppK: 1, signal: undefined, Signal: null })).toThrow(
    new TypeError('f: no option "toppK", "Signal"; there are topK, signal'),
  );
  expect(check({ toppK: undefined })).toThrow(/no option "toppK"/);
  expect(check({ toString: 1 })).toThrow(/no option "toString"/);
  expect(check(JSON.parse('{"__proto__": 1}'))).toThrow(/no option "__proto__"/);
});

describe("the engine", () => {
  test("Engine.create, createEngine, requestDevice", async () => {
    const { device } = await testDevice();
    await expectRefused(
      () => Engine.create(wrong({ device, trait: {} })),
      'Engine.create: no option "trait"; there are device, open, adapter, idle, close, attention, tuning, traits, batchInvariant, avoid',
    );
    const own = "adapter, toggles, preciseTimestamps, features, limits";
    await expectRefused(
      () => createEngine(wrong({ tuned: false })),
      `createEngine: no option "tuned"; there are ${own}, tuning, avoid, batchInvariant`,
    );
    await expectRefused(
      () => requestDevice(wrong({ tuning: false })),
      `requestDevice: no option "tuning"; there are ${own}`,
    );
  });

  test("deviceDescriptor", () =>
    expectRefused(
      () => deviceDescriptor(wrong({ limits: {}, features: new Set() }), wrong({ feature: [] })),
      'deviceDescriptor: no option "feature"; there are features, limits',
    ));

  test("tuneMatmul", () =>
    expectRefused(
      () => tuneMatmul(engine, wrong({ budget: 1 })),
      'tuneMatmul: no option "budget"; there are shapes, budgetMs, signal, onProgress',
    ));

  test("a program's run and submit, which are still good for the next run", async () => {
    const { program, inputs } = await bert.model.program([{ inputIds: [1, 2] }], { logits: true });
    await expectRefused(() => program.run(inputs, slip), 'run: no option "slip"; there are signal, profile');
    await expectRefused(() => program.run(inputs, wrong({ readBack: false })), /no option "readBack"/);
    await expectRefused(() => program.submit(inputs, slip), 'submit: no option "slip"; there are signal, readBack');
    expect(Object.keys(await program.run(inputs, { signal: undefined }))).toEqual(["logits"]);
    expect(await (await program.submit(inputs, { readBack: false })).read()).toEqual({});
  });
});

describe("folders and files", () => {
  const reading = "cache, files, fetch, signal, retry, maxWhole";

  test("httpFolder, hubFolder, resolveModel", async () => {
    await expectRefused(
      () => httpFolder("http://localhost/", wrong({ header: {} })),
      `httpFolder: no option "header"; there are ${reading}, headers, refusal`,
    );
    await expectRefused(
      () => hubFolder("org/name", wrong({ branch: "main", headers: {} })),
      `hubFolder: no option "branch", "headers"; there are revision, endpoint, token, ${reading}`,
    );
    await expectRefused(
      () => resolveModel("org/name", wrong({ cacheDirectory: "/nowhere" })),
      /^resolveModel: no option "cacheDirectory"; there are revision, cacheDir, token, endpoint, offline, weights, onProgress, onWarning, verify, onVerify, signal, retry, fetch$/,
    );
  });

  test("how often to try again, before anything is asked for", async () => {
    let asked = 0;
    const fetch = async (): Promise<Response> => {
      asked++;
      return new Response("{}");
    };
    const folder = httpFolder("http://localhost/", { fetch, retry: wrong({ times: 1 }) });
    await expectRefused(() => folder.open("config.json"), 'retry: no option "times"; there are tries, delay, signal');
    expect(asked).toBe(0);
  });

  test("a range of a tensor", async () => {
    const checkpoint = await openCheckpoint(tinyModel());
    const range = wrong({ offset: 1, length: 1 });
    const message = 'read: no option "length"; there are offset, count';
    await expectRefused(() => checkpoint.read("classifier.bias", range), message);
    await expectRefused(() => checkpoint.readFloats("classifier.bias", range), message);
    await checkpoint.close();
  });
});

describe("the tokenizer", () => {
  const all = "addSpecialTokens, truncation, maxLength, stride, returnOverflow, onCut, padding, padToMultipleOf";
  const message = `encode: no option "max_length"; there are ${all}`;

  test("encode, encodeBatch, decode", async () => {
    const { tokenizer } = bert;
    await expectRefused(() => tokenizer.encode("a", undefined, wrong({ max_length: 4 })), message);
    await expectRefused(() => tokenizer.encodeBatch(["a"], wrong({ max_length: 4 })), message);
    await expectRefused(
      () => tokenizer.decode([1], wrong({ skip_special_tokens: true })),
      'decode: no option "skip_special_tokens"; there are skipSpecialTokens, cleanUpTokenizationSpaces',
    );
  });
});

describe("the model", () => {
  test("load, before a file is read", async () => {
    let opened = 0;
    const folder = { name: "unread", open: async () => void opened++ as undefined };
    await expectRefused(
      () => BertModel.load(engine, folder, wrong({ dType: "f16" })),
      'load: no option "dType"; there are dtype, wanted, onProgress, signal, onWarning',
    );
    await expectRefused(() => BertModel.load(engine, folder, wrong({ wanted: { logit: true } })), /no option "logit"/);
    expect(opened).toBe(0);
    await expectRefused(() => loadPretrained(engine, tinyTask(), slip), /^load: no option "slip"; there are dtype/);
  });

  test("dtype: fp32 and fp16 are spellings, anything else is refused before a file is read", async () => {
    let opened = 0;
    const folder = { name: "unread", open: async () => void opened++ as undefined };
    const message = (dtype: string) =>
      new RangeError(`no dtype "${dtype}"; there are f32 (or fp32), f16 (or fp16), q8`);
    for (const dtype of ["fp8", "float32", "F32", "int8", "q4", ""]) {
      await expect(BertModel.load(engine, folder, wrong({ dtype }))).rejects.toThrow(message(dtype));
      await expect(pipeline("ner", folder, wrong({ dtype }))).rejects.toThrow(message(dtype));
    }
    expect(opened).toBe(0);
    const spellings = { f32: "f32", fp32: "f32", q8: "q8", ...(engine.hasF16 && { f16: "f16", fp16: "f16" }) } as const;
    for (const [dtype, storage] of Object.entries(spellings)) {
      const { model } = await loadPretrained(engine, tinyTask(), wrong({ dtype }));
      expect(model.storage, dtype).toBe(storage);
      model.dispose();
    }
  });

  test("a text for a folder is refused with what makes one of it", () =>
    expectRefused(
      () => loadPretrained(engine, "org/name" as never),
      'folder is a string; give modelFolder("org/name")',
    ));

  test("modelFolder: addresses, and names of the hub with their revision", () => {
    expect(modelFolder("https://example.org/models/a/").name).toBe("https://example.org/models/a");
    expect(modelFolder("org/name").name).toBe("org/name");
    expect(modelFolder("hf://org/name@v1").name).toBe("org/name@v1");
    expect(modelFolder("org/name", "v1").name).toBe("org/name@v1");
    expect(modelFolder("org/name@v1", "v1").name).toBe("org/name@v1");
    expect(() => modelFolder("org/name@v1", "v2")).toThrow(/revision v2 is asked, it names another/);
    expect(() => modelFolder("https://example.org/a", "v2")).toThrow(/revision v2 is asked, an address has none/);
    expect(() => modelFolder("a/b/c")).toThrow(/is not the name of a model/);
  });

  test("forward's options", () =>
    expectRefused(
      () => bert.model.forward([{ inputIds: [1] }], { logits: true }, slip),
      'forward: no option "slip"; there are signal, profile, checkFinite',
    ));

  test("wanted: forward, bind, program, has", async () => {
    const all = [
      "lastHiddenState, hiddenStates, attentions, embedding, poolerOutput, predictionLogits, predictionProbabilities",
      "predictionTopK, layerPredictionTopK, predictionRows, sparseEmbedding, seqRelationshipLogits, logits, spanLogits",
      "tokenEmbeddings",
    ].join(", ");
    const sequences = [{ inputIds: [1, 2] }];
    const wanted = wrong({ logits: true, last_hidden_state: true, pooler: undefined });
    const message = `wanted: no option "last_hidden_state", "pooler"; there are ${all}`;
    await expectRefused(() => bert.model.forward(sequences, wanted), message);
    await expectRefused(() => bert.model.bind(sequences, wanted), message);
    await expectRefused(() => bert.model.program(sequences, wanted), message);
    await expectRefused(() => bert.model.has("logit" as "logits"), `wanted: no option "logit"; there are ${all}`);
    const { logits } = await bert.model.forward(sequences, { logits: true, attentions: undefined });
    expect(logits!.shape).toEqual([1, 2]);
  });

  test("wanted: what an output can be asked for", async () => {
    const embedding = wrong({ pooling: "mean", normalize: true, normalise: true });
    await expectRefused(
      () => bert.model.forward([{ inputIds: [1] }], { embedding }),
      'embedding: no option "normalise"; there are pooling, normalize',
    );
  });
});

describe("tasks", () => {
  const own: Readonly<Record<TaskName, readonly [model: keyof typeof models, names: string]>> = {
    "fill-mask": ["masks", `topK, targets, truncation, ${COMMON}`],
    "text-classification": ["labels", `topK, functionToApply, ${COMMON}`],
    "token-classification": ["tokens", `aggregationStrategy, ignoreLabels, stride, truncation, delimiter, ${COMMON}`],
    "question-answering": ["spans", `${ANSWERS}, ${COMMON}`],
    "zero-shot-classification": ["labels", `candidateLabels, hypothesisTemplate, multiLabel, entailmentId, ${COMMON}`],
    "feature-extraction": ["labels", COMMON],
    "sentence-embedding": ["labels", `precision, ranges, ${VECTOR}`],
    "sparse-embedding": ["masks", `topK, ${COMMON}`],
    "sentence-similarity": ["labels", `similarity, ${VECTOR}`],
    "text-ranking": ["labels", `topK, method, functionToApply, similarity, ${VECTOR}`],
    summarization: ["labels", `sentences, method, relevance, language, ${VECTOR}`],
    "next-sentence-prediction": ["pairs", COMMON],
    "multiple-choice": ["choices", COMMON],
    "attention-maps": ["labels", COMMON],
  };

  test.each(TASK_NAMES)("createTask %s: what it is made with", async (name) => {
    const [model, names] = own[name];
    await expectRefused(() => createTask(models[model], name, slip), `${name}: no option "slip"; there are ${names}`);
  });

  test.each(TASK_NAMES)("createTask %s: what it is run with", async (name) => {
    const musts: Partial<Record<TaskName, object>> = {
      "zero-shot-classification": { candidateLabels: ["a"], entailmentId: 0 },
      "text-ranking": { method: "embeddings" }, // the model's classifier has several labels
    };
    const options = musts[name] ?? {};
    const task = createTask(models[own[name][0]], name, { ...options, tokenBudget: 64 } as never);
    const message = 'stream: no option "topK"; there are tokenBudget, signal, onProgress, checkFinite';
    await expectRefused(() => task.run([], wrong({ topK: 2 })), message);
    await expectRefused(() => task.stream([], wrong({ topK: 2 })).next(), message);
    expect(await task.run([], { signal: undefined })).toEqual([]);
  });

  test.each(TASK_NAMES)("createTask %s: one input where a list belongs", async (name) => {
    const given = name === "zero-shot-classification" ? { candidateLabels: ["a"], entailmentId: 0 } : {};
    const options = name === "text-ranking" ? { method: "embeddings" } : given;
    const task = createTask(models[own[name][0]], name, options as never);
    const text = "inputs is a string; give a list: [text]";
    await expectRefused(() => task.run(wrong("a film" as never)), text);
    await expectRefused(() => task.stream(wrong("a film" as never)).next(), text);
    for (const [one, type] of [
      [{ text: "a" }, "object"],
      [undefined, "undefined"],
    ] as const) {
      await expectRefused(() => task.run(one as never), `inputs is of type ${type}; give a list: [input]`);
    }
    await expectRefused(() => classifyText(bert, wrong("a film" as never)), text);
    expect(await classifyText(bert, wrong(new Set(["a film"])))).toHaveLength(1);
  });

  test("a text where a list of texts belongs, within an input or among the options", async () => {
    const { labels, masks, tokens, choices } = models;
    const a = "a film" as never;
    const refused: readonly (readonly [name: string, call: () => unknown])[] = [
      ["candidateLabels", () => classifyZeroShot(labels, ["a"], { candidateLabels: a, entailmentId: 0 })],
      ["targets", () => fillMask(masks, ["a [MASK]"], { targets: a })],
      ["ignoreLabels", () => classifyTokens(tokens, ["a"], { ignoreLabels: a })],
      ["input 1: choices", () => choose(choices, [{ prompt: "a", choices: a }])],
      ["input 1: sentences", () => compareSentences(labels, [{ source_sentence: "a", sentences: a }])],
      ["input 1: documents", () => rerank(labels, [{ query: "a", documents: a }], { method: "embeddings" })],
    ];
    for (const [name, call] of refused) await expectRefused(call, `${name} is a string; give a list: [text]`);
  });

  test("what is no text, and a pair by another name", async () => {
    const { labels } = models;
    const refused = (call: (input: never) => unknown, input: unknown, remedy = "a text, or { text, pair }") =>
      expectRefused(() => call(input as never), `an input is ${JSON.stringify(input)}; give ${remedy}`);
    for (const input of [3, null, true, {}, ["a", "b"], { text: "a", text_pair: "b" }, { text: "a", pair: 3 }]) {
      await refused((input) => classifyText(labels, ["a", input]), input);
      await refused((input) => embedText(labels, [input]), input);
      await refused((input) => extractFeatures(labels, [input]), input);
      await refused((input) => summarize(labels, [input]), input, "a text");
      await refused((input) => rerank(labels, [{ query: "a", documents: [input] }], { method: "embeddings" }), input);
    }
    const classify = await pipeline("text-classification", labels);
    await refused((input) => classify(input), { pair: "b" });
    const right = await classifyText(labels, [{ text: "a", pair: "b" }]);
    expect(await classify({ text: "a", text_pair: "b" })).toEqual(right[0]);
    expect(await classify({ text: "a", pair: "b" } as never)).toEqual(right[0]);
  });

  test("no model", () =>
    expectRefused(
      () => pipeline("text-classification", undefined as never),
      "pipeline: no model is given; give its name, or a folder",
    ));

  test("a slip in an option that is a must is told as one", () =>
    expectRefused(
      () => createTask(bert, "zero-shot-classification", wrong({ candidateLables: ["a"] })),
      /no option "candidateLables"; there are candidateLabels/,
    ));

  test("runPlan, streamPlan", async () => {
    const plan = { wanted: { logits: true }, prepare: (): never => expect.fail() };
    await expectRefused(() => runPlan(bert.model, plan, [], slip), /^stream: no option "slip"; there are tokenBudget/);
    await expectRefused(() => streamPlan(bert.model, plan, [], slip).next(), /^stream: no option "slip"/);
  });

  test("every task's own function", async () => {
    const { labels, masks, tokens, spans, pairs, choices } = models;
    const calls: Readonly<Record<TaskName, () => unknown>> = {
      "fill-mask": () => fillMask(masks, [], slip),
      "text-classification": () => classifyText(labels, [], slip),
      "token-classification": () => classifyTokens(tokens, [], slip),
      "question-answering": () => answerQuestions(spans, [], slip),
      "zero-shot-classification": () => classifyZeroShot(labels, [], slip),
      "feature-extraction": () => extractFeatures(labels, [], slip),
      "sentence-embedding": () => embedText(labels, [], slip),
      "sparse-embedding": () => embedSparse(masks, [], slip),
      "sentence-similarity": () => compareSentences(labels, [], slip),
      "text-ranking": () => rerank(labels, [], slip),
      summarization: () => summarize(labels, [], slip),
      "next-sentence-prediction": () => predictNextSentence(pairs, [], slip),
      "multiple-choice": () => choose(choices, [], slip),
      "attention-maps": () => mapAttention(labels, [], slip),
    };
    for (const [name, call] of Object.entries(calls)) {
      await expectRefused(call, `${name}: no option "slip"; there are ${own[name as TaskName][1]}`);
    }
  });
});

describe("pipeline", () => {
  const snake = (names: string): string => names.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

  test("its own options", async () => {
    for (const given of [tinyTask(), bert]) {
      await expectRefused(
        () => pipeline("text-classification", given, wrong({ device: "webgpu" })),
        'pipeline: no option "device"; there are engine, dtype, revision, progress_callback, on_warning',
      );
    }
  });

  test("what a model that is there cannot follow", async () => {
    const q8 = { model: { name: "m", storage: "q8" } } as Pretrained;
    const of = (model: Pretrained | ReturnType<typeof tinyTask>, options: object) => () =>
      pipeline("text-classification", model, wrong(options));
    const remedy = "leave it out, or give the model's name";
    await expectRefused(
      of(q8, { dtype: "fp16", revision: "v1" }),
      `pipeline: revision v1 and dtype fp16 asked of m, a model that is loaded already, in q8; ${remedy}`,
    );
    await expectRefused(of(q8, { dtype: "f32" }), /^pipeline: dtype f32 asked of m, /);
    await expectRefused(of(tinyTask(), { revision: "v1" }), `pipeline: revision v1 asked of tiny, a folder; ${remedy}`);
    for (const dtype of ["f32", "fp32", undefined]) {
      const classify = await pipeline("text-classification", bert, wrong({ dtype }));
      expect(await classify("a film")).toHaveLength(1);
    }
    await pipeline("text-classification", q8, { dtype: "q8" });
  });

  test("those of its calls are listed in snake case, and in no other case taken", async () => {
    const { labels, masks, tokens, spans } = models;
    const cases: readonly (readonly [PipelineName, Pretrained, string, args?: readonly unknown[]])[] = [
      ["text-classification", labels, `topK, functionToApply, ${COMMON}`],
      ["token-classification", tokens, `aggregationStrategy, ignoreLabels, stride, truncation, delimiter, ${COMMON}`],
      ["question-answering", spans, `${ANSWERS}, ${COMMON}`, ["b"]],
      ["fill-mask", masks, `topK, targets, truncation, ${COMMON}`],
      ["zero-shot-classification", labels, `hypothesisTemplate, multiLabel, entailmentId, ${COMMON}`, [["x"]]],
      ["summarization", labels, `sentences, method, relevance, language, ${VECTOR}`],
    ];
    for (const [name, model, names, args = []] of cases) {
      const call = (await pipeline(name, model)) as unknown as (...args: unknown[]) => Promise<unknown>;
      const message = `${name}: no option "tokenBudget"; there are ${snake(names)}`;
      await expectRefused(() => call("a", ...args, { tokenBudget: 64 }), message);
    }
    const ner = await pipeline("ner", tokens);
    expect(await ner("a", { token_budget: 64, ignore_labels: ["LABEL_0", "LABEL_1"] })).toEqual([]);
  });

  test("feature-extraction takes what makes a vector only with pooling", async () => {
    const extract = await pipeline("feature-extraction", bert);
    const rest = snake(VECTOR.replace("pooling, normalize, ", ""));
    await expectRefused(
      () => extract("a", wrong({ pooling: "mean", truncate: 2 })),
      `feature-extraction: no option "truncate"; there are pooling, normalize, quantize, precision, ${rest}`,
    );
    await expectRefused(
      () => extract("a", { truncate_dim: 2 }),
      `feature-extraction without pooling: no option "truncate_dim"; there are pooling, normalize, quantize, precision, ${snake(COMMON)}`,
    );
    const pooled = await extract("a", { pooling: "cls", truncate_dim: 2, prompt: "the ", token_budget: 9 });
    expect(pooled.dims).toEqual([1, 2]);
    expect((await extract("a", { normalize: true, on_warning: undefined })).dims).toEqual([1, 3, 16]);
  });
});
