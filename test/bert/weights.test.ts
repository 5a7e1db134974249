import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ModelError, parseConfig } from "../../src/bert/config.ts";
import { BertModel, type openModel } from "../../src/bert/model.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { testDevice } from "../device.ts";
import { cosine } from "../support.ts";
import { TINY, tinyModel } from "./tiny.ts";

const rename = (change: (name: string) => string) => (tensors: Record<string, number[]>) =>
  Object.fromEntries(Object.entries(tensors).map(([name, shape]) => [change(name), shape]));

describe("config.json", () => {
  const faultsOf = (config: unknown): readonly string[] => {
    try {
      parseConfig(typeof config === "string" ? config : JSON.stringify(config));
    } catch (error) {
      if (error instanceof ModelError) return error.faults;
      throw error;
    }
    return [];
  };

  it("is refused within a page, however long its lists and words are", () => {
    const forks = Object.fromEntries(Array.from({ length: 400_000 }, (_, i) => [`alibi_${i}`, "y"]));
    const faults = faultsOf({ ...TINY, ...forks });
    expect(faults).toHaveLength(101);
    expect(faults[100]).toBe("and 399900 more");
    const words = "\u001b".repeat(1_000_000);
    for (const key of ["model_type", "hidden_act", "hidden_size", "problem_type"]) {
      expect(faultsOf({ ...TINY, [key]: words }).join().length).toBeLessThan(1000);
    }
    const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    expect(faultsOf(`{"hidden_size":${deep}}`)).toEqual([expect.stringContaining("not JSON: nested deeper than 127")]);
    expect(new ModelError("m", Array(400_000).fill("x".repeat(5000))).message.length).toBeLessThan(250_000);
  });

  it("is refused with every fault at once, each with its value and what is allowed", () => {
    expect(faultsOf("{")).toEqual([expect.stringContaining("not JSON")]);
    expect(faultsOf([])).toEqual(["not a JSON object"]);
    expect(
      faultsOf({ ...TINY, model_type: "gpt2", hidden_act: "mish", hidden_size: 1e9, num_attention_heads: -1 }),
    ).toEqual([
      'model_type is "gpt2", only "bert" is run',
      expect.stringContaining('hidden_act is "mish", there are gelu'),
      "hidden_size is 1000000000, it must be an integer from 1 to 16384",
      "num_attention_heads is -1, it must be an integer from 1 to 1024",
    ]);
    expect(faultsOf({ ...TINY, num_attention_heads: 3 })).toEqual([
      "hidden_size 16 is not a multiple of num_attention_heads 3",
    ]);
    expect(faultsOf({ ...TINY, hidden_act: "constructor", position_embedding_type: "relative_key" })).toHaveLength(2);
    expect(faultsOf({ ...TINY, layer_norm_eps: "1e-12", vocab_size: 2.5, is_decoder: true })).toHaveLength(3);
  });

  it("has transformers' defaults", () => {
    const config = parseConfig(JSON.stringify(TINY));
    expect(config.labels).toEqual(["LABEL_0", "LABEL_1"]);
    expect(config.tieWordEmbeddings).toBe(true);
    expect(parseConfig(JSON.stringify({ ...TINY, num_labels: 3 })).labels).toHaveLength(3);
  });
});

describe("checkpoints", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await Engine.create(await testDevice());
  });
  afterAll(() => engine.dispose());

  const logitsOf = async (folder: Parameters<typeof openModel>[0]): Promise<Float32Array> => {
    const model = await BertModel.load(engine, folder);
    const { logits } = await model.forward([{ inputIds: [1, 2, 3] }, { inputIds: [4] }], { logits: true });
    model.dispose();
    return logits!.data;
  };

  it("load with and without the bert. prefix, with TensorFlow's LayerNorm names, with position_ids", async () => {
    const expected = await logitsOf(tinyModel());
    const bare = rename((name) => name.replace("bert.", ""));
    const old = rename((name) =>
      name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
    );
    expect(await logitsOf(tinyModel({}, bare))).toEqual(expected);
    expect(await logitsOf(tinyModel({}, old))).toEqual(expected);
    const ids = (tensors: Record<string, number[]>) => ({ ...tensors, "bert.embeddings.position_ids": [1, 64] });
    expect(await logitsOf(tinyModel({}, ids))).toEqual(expected);
  });

  it("that do not fit their configuration are refused with all faults, before anything is on the GPU", async () => {
    const before = engine.memoryUse;
    const folder = tinyModel({ intermediate_size: 32 }, (tensors) => {
      const { "bert.pooler.dense.bias": _, ...rest } = tensors;
      return {
        ...rest,
        "bert.encoder.layer.0.intermediate.dense.weight": [31, 16],
        "bert.encoder.layer.0.output.dense.bias": [17],
      };
    });
    const load = BertModel.load(engine, folder);
    await expect(load).rejects.toThrow(ModelError);
    await expect(load).rejects.toThrow(/3 faults/);
    await expect(load).rejects.toThrow(
      "encoder.layer.0.intermediate.dense.weight is [31, 16], config.json asks for [32, 16]",
    );
    await expect(load).rejects.toThrow("pooler.dense.bias [16] is missing");
    expect(engine.memoryUse).toEqual(before);
  });

  it.each([
    ["one head of 10", { hidden_size: 10, num_attention_heads: 1 }],
    ["heads of 3, odd inner size", { hidden_size: 9, num_attention_heads: 3, intermediate_size: 7 }],
    ["heads of 80", { hidden_size: 160, num_attention_heads: 2 }],
    ["no layers", { num_hidden_layers: 0 }],
    ["four layers", { num_hidden_layers: 4 }],
  ])("of unusual shapes run: %s", async (_, overrides) => {
    const model = await BertModel.load(engine, tinyModel(overrides));
    const batch = [{ inputIds: [1, 2, 3, 4, 5] }, { inputIds: [6, 7] }];
    const together = await model.forward(batch, { lastHiddenState: true });
    const alone = await model.forward([batch[1]!], { lastHiddenState: true });
    const rows = together.lastHiddenState!.data.subarray(5 * model.config.hiddenSize);
    expect(cosine(rows, alone.lastHiddenState!.data)).toBeGreaterThan(0.999999);
    model.dispose();
  });
});
