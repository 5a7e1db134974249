/** What checkpoints of encoder-decoders say and keep, and where they are odd. */

import { afterEach, expect, test } from "vitest";
import { GenerationModel, generateSequences, loadGenerator, loadPretrained } from "../../../src/node/index.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";
import { memoryFolder } from "../../files/build.ts";
import { TINY, tinyModel } from "../tiny.ts";
import { type Tensors, tinyWriter, WRITER, writerFiles } from "./tiny_writer.ts";

const engine = await Engine.create(await testDevice());
const made: GenerationModel[] = [];
afterEach(() => {
  for (const model of made.splice(0)) model.dispose();
});

async function load(of: Parameters<typeof tinyWriter>[0], warnings: string[] = []): Promise<GenerationModel> {
  const model = await GenerationModel.load(engine, tinyWriter(of), { onWarning: (text) => warnings.push(text) });
  made.push(model);
  return model;
}

const input = { source: { inputIds: [2, 9, 8, 3] } };
const logitsOf = async (model: GenerationModel): Promise<number[]> => {
  const target = { inputIds: [2, 7, 11] };
  const { logits } = await model.forward([model.config.encoder ? { ...input, target } : { target }], { logits: true });
  return Array.from(logits!.data);
};

async function beginOf(model: GenerationModel, settings = {}): Promise<readonly number[]> {
  for await (const [{ ids }] of generateSequences(model, [input], { maxLength: 4, ...settings }) as AsyncIterable<
    [{ ids: readonly number[] }]
  >)
    return ids;
  return [];
}

test("the start token is that of generation_config.json, of config.json, or their bos, or the decoder's", async () => {
  const decoder = WRITER.decoder as object;
  const none = { decoder_start_token_id: undefined };
  const start = async (of: Parameters<typeof tinyWriter>[0], settings = {}) =>
    (await beginOf(await load(of), settings))[0];
  expect(await start({})).toBe(2);
  expect(await start({ generation: { decoder_start_token_id: 7, bos_token_id: 8 } })).toBe(7);
  expect(await start({ config: none, generation: { decoder_start_token_id: null, bos_token_id: 8 } })).toBe(8);
  expect(await start({ config: { ...none, bos_token_id: 9 } })).toBe(9);
  expect(await start({ config: { ...none, decoder: { ...decoder, bos_token_id: 10 } } })).toBe(10);
  expect(await start({ config: none }, { decoderStartTokenId: 11 })).toBe(11);
  await expect(start({ config: none })).rejects.toThrow("give decoderStartTokenId");
});

test("lengths and beams are those of the whole, and not the decoder's own of before", async () => {
  const model = await load({ config: { max_length: 6, min_length: 6, num_beams: 3 } });
  for await (const [one] of generateSequences(model, [input])) {
    expect(one!.ids).toHaveLength(6);
    expect(one!.score).toBeLessThan(0);
  }
});

test("what is asked and not done is told", async () => {
  const warnings: string[] = [];
  await load({ generation: { num_beam_groups: 4, typical_p: 1, diversity_penalty: 0.5 } }, warnings);
  expect(warnings).toEqual([
    "memory: num_beam_groups is 4, which is not done",
    "memory: diversity_penalty is 0.5, which is not done",
  ]);
});

test("position_ids, as older checkpoints keep them, and architectures that lie are nothing", async () => {
  const decoder = { ...(WRITER.decoder as object), architectures: ["BertForMaskedLM"] };
  const plain = await load({});
  const odd = await load({
    config: { decoder },
    edit: (tensors) => ({ ...tensors, "encoder.embeddings.position_ids": [1, 64] }),
  });
  expect(await logitsOf(odd)).toEqual(await logitsOf(plain));
});

const isShared = (name: string): boolean =>
  /^(encoder|decoder\.bert)\.(embeddings|encoder)\./.test(name) && !name.includes("crossattention");
const drop =
  (part: string) =>
  (tensors: Tensors): Tensors =>
    Object.fromEntries(Object.entries(tensors).filter(([name]) => !(isShared(name) && name.startsWith(part))));
test("weights that both parts share are stored under the names of one or of both", async () => {
  const config = { tie_encoder_decoder: true };
  const twice = await load({ config });
  const bytes: number[] = [];
  for (const part of ["decoder.", "encoder."]) {
    const once = await load({ config, edit: drop(part) });
    bytes.push(once.weightBytes);
    expect(once.config.shared).toBe(true);
  }
  expect(bytes[0]).toBe(bytes[1]);
  expect(bytes[0]).toBeLessThan(0.7 * twice.weightBytes); // they are there once
  await expect(load({ edit: drop("decoder.") })).rejects.toThrow(
    "decoder.embeddings.word_embeddings.weight [50, 16] is missing",
  );
});

test("with them the decoder computes as with its own", async () => {
  const values = new Map<string, Float32Array>();
  const keep = (name: string, own: Float32Array): void => {
    const shared = name.replace("decoder.bert.", "encoder.");
    const known = values.get(shared);
    if (isShared(name) && known) own.set(known);
    else values.set(shared, own);
  };
  const twice = await load({ fill: keep });
  const once = await load({
    config: { tie_encoder_decoder: true },
    edit: drop("decoder."),
    fill: (name, own) => own.set(values.get(name.replace("decoder.bert.", "encoder."))!),
  });
  expect(await logitsOf(once)).toEqual(await logitsOf(twice));
});

test("a head that is said to be the word table and is stored with other values is not tied, which is told", async () => {
  const warnings: string[] = [];
  const edit = (tensors: Tensors): Tensors => ({ ...tensors, "decoder.cls.predictions.decoder.weight": [50, 16] });
  const model = await load({ edit }, warnings);
  expect(model.config.decoder.tieWordEmbeddings).toBe(false);
  expect(warnings[0]).toContain("differ: each is used as it is stored");
});

test("every tensor that is missing or of another shape is told at once", async () => {
  const edit = ({
    "decoder.bert.encoder.layer.0.crossattention.self.key.weight": _,
    ...tensors
  }: Tensors): Tensors => ({
    ...tensors,
    "encoder.embeddings.LayerNorm.bias": [17],
  });
  const fault = await load({ edit }).catch((error: Error) => error);
  expect(String(fault)).toContain("encoder.embeddings.LayerNorm.bias is [17], config.json asks for [16]");
  expect(String(fault)).toContain("decoder.encoder.layer.0.crossattention.self.key.weight [16, 16] is missing");
});

test("a model without a decoder, and parts that are no BERTs, are refused in words", async () => {
  await expect(GenerationModel.load(engine, tinyModel())).rejects.toThrow(
    'model_type "bert", architectures ["BertForSequenceClassification"] has no decoder, so it cannot write text',
  );
  const roberta = { ...TINY, model_type: "roberta" };
  await expect(load({ config: { encoder: roberta } })).rejects.toThrow(
    'memory/config.json, encoder: model_type is "roberta", only "bert" is run',
  );
  await expect(loadPretrained(engine, tinyWriter())).rejects.toThrow("it writes text, which loadGenerator loads");
  const { "config.json": _, ...files } = writerFiles();
  await expect(loadGenerator(engine, memoryFolder(files))).rejects.toThrow("there is no config.json");
});
