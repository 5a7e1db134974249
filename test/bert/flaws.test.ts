/** What is wrong with parts of a model that a task does not use: told, not refused; and what is refused by its name. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ModelError, parseConfig } from "../../src/bert/config.ts";
import { BertModel, openModel } from "../../src/bert/model.ts";
import type { Forward, Wanted } from "../../src/bert/outputs.ts";
import { extractFeatures } from "../../src/bert/tasks/feature_extraction.ts";
import { fillMask } from "../../src/bert/tasks/fill_mask.ts";
import { loadPretrained } from "../../src/bert/tasks/pretrained.ts";
import { rerank } from "../../src/bert/tasks/rerank.ts";
import { embedText } from "../../src/bert/tasks/sentence_embedding.ts";
import { classifyText } from "../../src/bert/tasks/text_classification.ts";
import { classifyTokens } from "../../src/bert/tasks/token_classification.ts";
import { classifyZeroShot } from "../../src/bert/tasks/zero_shot.ts";
import type { Folder } from "../../src/files/bytes.ts";
import { openCheckpoint } from "../../src/files/checkpoint.ts";
import { parseJson } from "../../src/files/json.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { testDevice } from "../device.ts";
import { buildSafetensors, memoryFolder, type TestTensor } from "../files/build.ts";
import { moduleFiles } from "./tasks/module_files.ts";
import { labelHead, MASKED_LM_HEAD, tinyTask } from "./tasks/tiny_task.ts";
import { TINY, tinyModel } from "./tiny.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.create(await testDevice());
});
afterAll(() => engine.dispose());

const WORD = "bert.embeddings.word_embeddings.weight";
const DECODER = "cls.predictions.decoder.weight";
const IDS = [{ inputIds: [2, 7, 9, 3] }];

/** The folder with other tensors, or another configuration. */
async function edited(
  folder: Folder,
  edit: (tensors: Record<string, Float32Array>) => Record<string, Float32Array>,
  files: Readonly<Record<string, string>> = {},
): Promise<Folder> {
  const checkpoint = await openCheckpoint(folder);
  const shapes = new Map([...checkpoint.tensors].map(([name, { shape }]) => [name, shape]));
  const all: Record<string, Float32Array> = {};
  for (const name of shapes.keys()) all[name] = await checkpoint.readFloats(name);
  const tensors = Object.entries(edit(all)).map(([name, data]): [string, TestTensor] => {
    const shape =
      shapes.get(name) ?? shapes.get(`bert.${name}`) ?? (name === DECODER ? shapes.get(WORD)! : [data.length]);
    return [name, { dtype: "F32", shape, data }];
  });
  const own = memoryFolder({ ...files, "model.safetensors": buildSafetensors(Object.fromEntries(tensors)) });
  return { name: folder.name, open: async (path) => (await own.open(path)) ?? folder.open(path) };
}

const config = (more: Readonly<Record<string, unknown>>): { "config.json": string } => ({
  "config.json": JSON.stringify({ ...TINY, ...more }),
});

async function load(folder: Folder): Promise<{ model: BertModel; warnings: string[] }> {
  const warnings: string[] = [];
  return { model: await BertModel.load(engine, folder, { onWarning: (text) => warnings.push(text) }), warnings };
}

async function valuesOf(folder: Folder, output: "lastHiddenState" | "predictionLogits" | "logits"): Promise<number[]> {
  const { model } = await load(folder);
  const found: Forward = await model.forward(IDS, { [output]: true } as Wanted);
  model.dispose();
  return [...found[output]!.data];
}

describe("config.json", () => {
  const parse = (more: Readonly<Record<string, unknown>> | string) => {
    const warnings: string[] = [];
    const text = typeof more === "string" ? more : JSON.stringify({ ...TINY, ...more });
    return { config: parseConfig(text, "config.json", (text) => void warnings.push(text)), warnings };
  };

  test("warns of what not every task uses, once each", () => {
    expect(parse({ id2label: { 0: 7, 1: null, 2: "c", 3: [true], 4: 1.5 } })).toMatchObject({
      config: { labels: ["7", "null", "c", "[true]", "1.5"] },
      warnings: ['id2label["0"] = 7 (and 3 more): no string, its text is taken'],
    });
    const gap = 'id2label["2"] = "b": ids must run from 0 to 1';
    expect(parse({ id2label: { 0: "a", 2: "b" } })).toMatchObject({
      config: { labels: ["a", "LABEL_1"], flaws: { id2label: gap } },
      warnings: [`${gap}: tasks that need it are refused`],
    });
    for (const id of ["00", "1.0", " 1", "1e0", "+1", "01", "", "-0", "0x1"]) {
      const flaw = `id2label["${id}"] = "b": ids must run from 0 to 1, in plain digits`;
      expect(parse({ id2label: { 0: "a", [id]: "b" } }).config.flaws).toEqual({ id2label: flaw });
    }
    expect(parse({ id2label: ["a"], num_labels: 3 })).toMatchObject({
      config: { labels: ["LABEL_0", "LABEL_1", "LABEL_2"] },
      warnings: [expect.stringContaining('id2label is ["a"], it must be an object')],
    });
    expect(parse({ problem_type: "guess" })).toMatchObject({
      config: { problemType: undefined, flaws: { problem_type: expect.stringContaining('"guess", there are single') } },
      warnings: [expect.stringContaining("problem_type")],
    });
    expect(parse({ pad_token_id: -1, architectures: "BertModel" })).toMatchObject({
      config: { padTokenId: 0, architectures: [] },
      warnings: ["pad_token_id is -1, no token: 0 is taken", expect.stringContaining('architectures is "BertModel"')],
    });
    const many = Object.fromEntries(Array.from({ length: 300_000 }, (_, i) => [`x${i}`, i]));
    expect(parse({ id2label: many }).warnings).toEqual([expect.stringContaining("(and 299999 more)")]);
    expect(parse({ auto_map: null, id2label: { 0: "a" } })).toMatchObject({ warnings: [] });
    expect(parse({})).toMatchObject({ warnings: [] });
    expect(parse({}).config).not.toHaveProperty("flaws");
  });

  test("may have NaN and Infinity, as Python writes them, where nothing is computed with them", () => {
    const text = JSON.stringify(TINY).replace(
      "{",
      '{"a": NaN, "b": [1, -Infinity,Infinity], "NaN": "Infinity\\" NaN",',
    );
    expect(parse(text).warnings).toEqual(['NaN or Infinity, which JSON does not have, in "a","b"']);
    expect(parseJson(' {"a":NaN,"b":[1,-Infinity,Infinity],"NaN":"Infinity\\" NaN"}')).toEqual({
      a: "NaN",
      b: [1, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
      NaN: 'Infinity" NaN',
    });
    for (const bad of ["[NaNs]", "[1NaN]", "[Infinity5]", "[1Infinity]", "[-NaN]", "[nan]", "[Infinity.5]", "[.NaN]"]) {
      expect(() => parseJson(bad), bad).toThrow(SyntaxError);
    }
    const used = JSON.stringify({ ...TINY, hidden_size: 0 }).replace('"hidden_size":0', '"hidden_size":Infinity');
    expect(() => parse(used)).toThrow("hidden_size is Infinity, it must be an integer");
    const eps = JSON.stringify({ ...TINY, layer_norm_eps: 0 }).replace('"layer_norm_eps":0', '"layer_norm_eps":NaN');
    expect(() => parse(eps)).toThrow("layer_norm_eps is");
  });

  test.each([
    ["auto_map", { AutoModel: "modeling.Other" }],
    ["custom_code", true],
    ["is_decoder", true],
    ["add_cross_attention", true],
    ["alibi_starting_size", 512],
    ["use_alibi", true],
    ["rotary_emb_fraction", 1],
    ["use_rotary_embeddings", true],
    ["rope_scaling", { type: "linear" }],
    ["rope_theta", 10000],
    ["use_flash_attn", true],
    ["use_rms_norm", true],
    ["prenorm", true],
    ["use_qk_norm", true],
    ["feed_forward_type", "geglu"],
    ["mlp_type", "glu"],
    ["attention_window", [512]],
    ["position_embedding_type", "relative_key"],
    ["position_embedding_type", "rotary"],
    ["model_type", "nomic_bert"],
  ])("that says %s %j is refused by that name", (key, value) => {
    expect(() => parse({ [key]: value })).toThrow(ModelError);
    expect(() => parse({ [key]: value })).toThrow(`${key} is ${JSON.stringify(value)}`);
  });

  test("may say that it is none of these", () => {
    const off = {
      ...{ auto_map: {}, is_decoder: false, add_cross_attention: null, use_flash_attn: false, rotary_emb_fraction: 0 },
      ...{ rotary_emb_base: 10000, rope_scaling: null, feed_forward_type: "original", europe_region: "x" },
      ...{ _flash_attn_2_enabled: true, _name_or_path: "a/rotary-glu", rms_norm_eps: 1e-6, chunk_size_feed_forward: 4 },
    };
    expect(parse(off).warnings).toEqual([]);
  });
});

describe("checkpoints", () => {
  test("with more layers than config.json asks for give what the first ones do", async () => {
    const whole = tinyModel({ num_hidden_layers: 3 });
    const { model } = await load(whole);
    const { hiddenStates } = await model.forward(IDS, { hiddenStates: true });
    model.dispose();
    const cut = await edited(whole, (tensors) => tensors, config({ num_hidden_layers: 1 }));
    expect(await valuesOf(cut, "lastHiddenState")).toEqual([...hiddenStates![1]!.data]);
    expect((await load(cut)).warnings).toEqual([
      expect.stringMatching(/^memory: encoder\.layer\.1\..* num_hidden_layers 1: no later layer is used$/),
    ]);
    const more = await edited(whole, (tensors) => tensors, config({ num_hidden_layers: 4 }));
    await expect(load(more)).rejects.toThrow("encoder.layer.3.output.dense.bias [16] is missing");
  });

  test("with a head that is not whole run without it, and refuse whoever needs it with what is wrong", async () => {
    const folder = tinyTask({
      heads: {
        ...labelHead(2),
        ...Object.fromEntries(Object.entries(MASKED_LM_HEAD).filter(([name]) => !name.endsWith("dense.bias"))),
      },
    });
    const broken = await edited(folder, ({ "bert.pooler.dense.bias": _, ...rest }) => ({
      ...rest,
      "pooler.dense.weight": rest["bert.pooler.dense.weight"]!,
    }));
    const flaws = [
      "pooler.dense.weight and bert.pooler.dense.weight are the same tensor",
      "pooler.dense.bias [16] is missing",
      "cls.predictions.transform.dense.bias [16] is missing",
    ];
    const warnings: string[] = [];
    const pretrained = await loadPretrained(engine, broken, { onWarning: (text) => warnings.push(text) });
    expect(warnings.map((text) => text.replace(/^tiny: (.*): tasks that need it are refused$/, "$1")).sort()).toEqual(
      [...flaws].sort(),
    );
    const [vector] = await embedText(pretrained, ["a film"], { pooling: "mean" });
    const sound = await loadPretrained(engine, folder);
    expect([...vector!]).toEqual([...(await embedText(sound, ["a film"], { pooling: "mean" }))[0]!]);
    expect(() => classifyText(pretrained, ["a film"])).toThrow("pooler.dense.bias [16] is missing");
    await expect(pretrained.model.forward(IDS, { predictionLogits: true })).rejects.toThrow(flaws[2]!);
    await expect(BertModel.load(engine, broken, { wanted: { poolerOutput: true } })).rejects.toThrow(flaws[1]!);
  });

  test("whose labels have a gap do everything but name them", async () => {
    const id2label = { 0: "a", 2: "b" };
    const pretrained = await loadPretrained(engine, tinyTask({ config: { id2label } }));
    expect(await embedText(pretrained, ["a film"], { pooling: "mean" })).toHaveLength(1);
    const wrong = 'id2label["2"] = "b": ids must run from 0 to 1';
    expect(() => classifyText(pretrained, ["a film"])).toThrow(wrong);
    expect(() => classifyZeroShot(pretrained, ["a film"], { candidateLabels: ["x"] })).toThrow(wrong);
    const given = { candidateLabels: ["x"], entailmentId: 0 };
    expect(await classifyZeroShot(pretrained, ["a film"], given)).toHaveLength(1);
  });

  test("with an unknown problem_type classify by the function that is asked for", async () => {
    const pretrained = await loadPretrained(engine, tinyTask({ config: { problem_type: "guess" } }));
    const asked = await classifyText(pretrained, ["a film"], { functionToApply: "softmax" });
    expect(asked[0]).toHaveLength(1);
    expect(() => classifyText(pretrained, ["a film"])).toThrow('problem_type is "guess"');
  });

  test("with the tied matrix under the decoder's name alone are the same model", async () => {
    const folder = tinyTask({ architecture: "BertForMaskedLM", heads: MASKED_LM_HEAD });
    const other = await edited(folder, ({ [WORD]: word, ...rest }) => ({ ...rest, [DECODER]: word! }));
    const expected = await valuesOf(folder, "predictionLogits");
    expect(await valuesOf(other, "predictionLogits")).toEqual(expected);
    const both = await edited(folder, (tensors) => ({ ...tensors, [DECODER]: tensors[WORD]! }));
    expect(await valuesOf(both, "predictionLogits")).toEqual(expected);
    expect((await load(both)).warnings).toEqual([]);
    const renamed = await edited(folder, ({ "cls.predictions.bias": bias, ...rest }) => ({
      ...rest,
      "cls.predictions.decoder.bias": bias!,
    }));
    expect(await valuesOf(renamed, "predictionLogits")).toEqual(expected);
    const untied = await edited(
      folder,
      ({ [WORD]: word, ...rest }) => ({ ...rest, [DECODER]: word! }),
      config({ architectures: ["BertForMaskedLM"], tie_word_embeddings: false }),
    );
    await expect(load(untied)).rejects.toThrow("embeddings.word_embeddings.weight [50, 16] is missing");
  });

  test("with a decoder that differs from the word table use both, as transformers 5 does", async () => {
    const folder = tinyTask({ architecture: "BertForMaskedLM", heads: MASKED_LM_HEAD });
    const zero = await edited(folder, (tensors) => ({ ...tensors, "cls.predictions.bias": new Float32Array(50) }));
    const expected = await valuesOf(zero, "predictionLogits");
    const twice = await edited(zero, (tensors) => ({
      ...tensors,
      [DECODER]: tensors[WORD]!.map((value) => 2 * value),
      "cls.predictions.decoder.bias": new Float32Array(50).fill(1),
    }));
    const found = await valuesOf(twice, "predictionLogits");
    for (const [i, value] of found.entries()) expect(value).toBeCloseTo(2 * expected[i]! + 1, 5);
    expect((await load(twice)).warnings).toEqual([expect.stringContaining("differ: each is used as it is stored")]);
  });

  test("without architectures classify what their weights are made for", async () => {
    const none = config({ architectures: null, id2label: { 0: "O", 1: "B-X" } });
    const folder = tinyTask({ architecture: "BertForTokenClassification" });
    const bare = await edited(
      folder,
      ({ "bert.pooler.dense.weight": _, "bert.pooler.dense.bias": __, ...rest }) => rest,
      config({ architectures: undefined }),
    );
    const expected = await valuesOf(folder, "logits");
    expect(expected).toHaveLength(8);
    for (const one of [bare, await edited(folder, (tensors) => tensors, none)]) {
      const { model, warnings } = await load(one);
      expect(model.classifierKind).toBe("token");
      expect(warnings).toEqual(["tiny: config.json names no architectures: its classifier is taken for one of tokens"]);
      model.dispose();
      expect(await valuesOf(one, "logits")).toEqual(expected);
    }
    const pretrained = await loadPretrained(engine, await edited(folder, (tensors) => tensors, none));
    expect((await classifyTokens(pretrained, ["a film"], { ignoreLabels: [] }))[0]).toHaveLength(2);
    const { model, warnings } = await load(
      await edited(tinyTask(), (tensors) => tensors, config({ architectures: [] })),
    );
    expect(model.classifierKind).toBe("sequence");
    expect(warnings).toEqual([expect.stringContaining("one of sequences")]);
  });

  test("are refused without a warning before", async () => {
    const folder = await edited(
      tinyModel(),
      ({ "bert.embeddings.LayerNorm.bias": _, ...rest }) => rest,
      config({ architectures: null }),
    );
    const warnings: string[] = [];
    const opened = openModel(folder, {}, { onWarning: (text) => warnings.push(text) });
    await expect(opened).rejects.toThrow("embeddings.LayerNorm.bias [16] is missing");
    expect(warnings).toEqual([]);
  });
});

describe("modules of sentence-transformers that cannot be followed", () => {
  const modules = moduleFiles([{ kind: "CNN" }, { kind: "Pooling" }]);
  const why = "modules.json has Transformer, CNN, Pooling; expected Transformer, then at most 32 of Pooling";

  test("are told once, and refuse vectors and scores, nothing else", async () => {
    const warnings: string[] = [];
    const options = { onWarning: (text: string) => void warnings.push(text) };
    const plain = await loadPretrained(engine, tinyTask({ heads: MASKED_LM_HEAD }), options);
    expect(warnings).toEqual([]);
    const flawed = await loadPretrained(engine, tinyTask({ heads: MASKED_LM_HEAD, files: modules }), options);
    expect(warnings).toEqual([expect.stringContaining(why)]);
    const texts = ["a [MASK] film"];
    expect(await fillMask(flawed, texts)).toEqual(await fillMask(plain, texts));
    expect(await extractFeatures(flawed, texts)).toEqual(await extractFeatures(plain, texts));
    await expect(async () => embedText(flawed, texts)).rejects.toThrow(why);
    await expect(async () => classifyText(flawed, texts)).rejects.toThrow(why);
    await expect(async () => rerank(flawed, [{ query: "a", documents: texts }])).rejects.toThrow(why);
    for (const { model } of [plain, flawed]) model.dispose();
  });

  test("refuse the folder where the encoder lies in one of its own, since nobody knows which", async () => {
    const { open, name } = tinyTask({ files: modules });
    const folder = { name, open: async (path: string) => (path === "config.json" ? undefined : open(path)) };
    await expect(loadPretrained(engine, folder)).rejects.toThrow(why);
  });
});
