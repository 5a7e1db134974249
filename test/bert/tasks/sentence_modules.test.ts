/** The modules of sentence-transformers: each by itself, in any order, old and new ways of writing them down, and refusals. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { extractFeatures } from "../../../src/bert/tasks/feature_extraction.ts";
import { type Pooling, poolTokens } from "../../../src/bert/tasks/pooling.ts";
import { loadPretrained, type Pretrained } from "../../../src/bert/tasks/pretrained.ts";
import { embedText, type VectorOptions } from "../../../src/bert/tasks/sentence_embedding.ts";
import { readSentenceModules } from "../../../src/bert/tasks/sentence_modules.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";
import { memoryFolder } from "../../files/build.ts";
import { TINY } from "../tiny.ts";
import { type ModuleFile, moduleFiles, weightsOf } from "./module_files.ts";
import { tinyTask } from "./tiny_task.ts";

const HIDDEN = TINY.hidden_size;

const CLS: ModuleFile = { kind: "Pooling", config: { pooling_mode: "cls" } };
const dense = (config: object, tensors: Record<string, readonly number[][] | readonly number[]>): ModuleFile => ({
  kind: "Dense",
  config: { in_features: 3, out_features: 2, ...config },
  tensors: weightsOf(tensors),
});
const act = (name: string): string => `torch.nn.modules.${name === "Identity" ? "linear" : "activation"}.${name}`;

describe("a module by itself", () => {
  /** What the only module behind a pooling makes of a vector. */
  const make = async (module: ModuleFile, vector: readonly number[]): Promise<number[]> => {
    const { modules } = (await readSentenceModules(memoryFolder(moduleFiles([CLS, module]))))!;
    const [, last] = modules;
    if (!last || !("apply" in last)) throw new Error("it is left out");
    return [...last.apply(Float64Array.from(vector))];
  };
  const close = (actual: readonly number[], right: readonly number[]): void => {
    expect(actual).toHaveLength(right.length);
    for (const [i, value] of right.entries()) expect(actual[i]).toBeCloseTo(value, 7);
  };
  const WEIGHT = [
    [0.5, -1, 0.25],
    [1, 2, -0.75],
  ];
  const LINEAR = { "linear.weight": WEIGHT, "linear.bias": [0.1, -0.2] };
  const VECTOR = [1.5, -0.5, 2];

  test("Dense: its function, Tanh where none is named, with a bias or without", async () => {
    const of = (config: object, tensors = {}): Promise<number[]> =>
      make(dense(config, { ...LINEAR, ...tensors }), VECTOR);
    close(await of({}), [0.9517459571646616, -0.8336546070121552]);
    close(await of({ activation_function: act("Identity") }), [1.85, -1.2]);
    close(await of({ activation_function: act("GELU") }), [1.7905099666281146, -0.13808360426605]);
    const weight = { "linear.weight": WEIGHT };
    close(await make(dense({ bias: false, activation_function: act("Identity") }, weight), VECTOR), [1.75, -1]);
    close(await of({ activation_function: act("PReLU") }, { "activation_function.weight": [0.3] }), [1.85, -0.36]);
  });

  test("Dense with a residual, projected where sizes differ", async () => {
    const config = { activation_function: act("GELU"), use_residual: true };
    const residual = [
      [1, 0, 1],
      [0, -1, 0.5],
    ];
    const projected = dense(config, { ...LINEAR, "residual.weight": residual });
    close(await make(projected, VECTOR), [5.290509966628115, 1.36191639573395]);
    const square = dense(
      { in_features: 2, activation_function: act("Identity"), use_residual: true },
      {
        ...LINEAR,
        "linear.weight": [
          [1, 2],
          [3, 4],
        ],
      },
    );
    close(await make(square, [1, 2]), [1 + 5 + 0.1, 2 + 11 - 0.2]);
  });

  test("LayerNorm with torch's epsilon, which is not the encoder's", async () => {
    const norm = (weight: readonly number[], bias: readonly number[]): ModuleFile => ({
      kind: "LayerNorm",
      config: { dimension: 4 },
      tensors: weightsOf({ "norm.weight": weight, "norm.bias": bias }),
    });
    const right = [-1.0690434404458735, -1.0690434404458735, 0.5, -1.3535651606688102];
    close(await make(norm([1, 2, 1, -1], [0, 0, 0.5, 0.25]), [1, 2, 3, 6]), right);
    const small = [-0.5443310539518174, -0.2721655269759087, 0, 0.816496580927726];
    close(await make(norm([1, 1, 1, 1], [0, 0, 0, 0]), [0.001, 0.002, 0.003, 0.006]), small);
    await expect(make(norm([1, 1, 1, 1], [0, 0, 0, 0]), [1, 2])).rejects.toThrow(
      "a LayerNorm module takes vectors of 4 dimensions, it is given 2",
    );
  });
});

describe("with a model", () => {
  const TEXTS = ["the film was good .", "a bad movie", ""];
  let engine: Engine;
  let plain: Pretrained;
  /** Per text, the vectors of its tokens. */
  let tokens: Float32Array[][];
  beforeAll(async () => {
    engine = await Engine.create(await testDevice());
    plain = await loadPretrained(engine, tinyTask());
    tokens = (await extractFeatures(plain, TEXTS)).map(({ shape, data }) =>
      Array.from({ length: shape[0]! }, (_, i) => data.subarray(i * HIDDEN, (i + 1) * HIDDEN)),
    );
  });
  afterAll(() => engine.dispose());

  async function embedded(
    files: Readonly<Record<string, string | Uint8Array>>,
    options?: VectorOptions,
    texts = TEXTS,
  ): Promise<Float32Array[]> {
    const pretrained = await loadPretrained(engine, tinyTask({ files }));
    try {
      return await embedText(pretrained, texts, options);
    } finally {
      pretrained.model.dispose();
    }
  }
  function expectClose(actual: readonly Float32Array[], right: readonly ArrayLike<number>[]): void {
    expect(actual).toHaveLength(right.length);
    actual.forEach((vector, t) => {
      expect(vector).toHaveLength(right[t]!.length);
      for (const [i, value] of vector.entries()) expect(Math.abs(value - right[t]![i]!)).toBeLessThan(4e-6);
    });
  }
  const pooled = (...poolings: Pooling[]): number[][] =>
    tokens.map((rows) => poolings.flatMap((pooling) => [...poolTokens(rows, pooling)]));

  /** Square, so that modules fit each other in any order. */
  const WEIGHT = Array.from({ length: HIDDEN }, (_, row) =>
    Array.from({ length: HIDDEN }, (_, col) => Math.sin(3 * row + col) / 2),
  );
  const BIAS = Array.from({ length: HIDDEN }, (_, i) => Math.cos(i) / 4);
  const GAIN = Array.from({ length: HIDDEN }, (_, i) => 1 + Math.sin(i) / 3);
  const MODULES: Record<string, ModuleFile & { of(vector: readonly number[]): number[] }> = {
    Dense: {
      kind: "Dense",
      config: { in_features: HIDDEN, out_features: HIDDEN, bias: true, activation_function: act("Softsign") },
      tensors: weightsOf({ "linear.weight": WEIGHT, "linear.bias": BIAS }),
      of: (vector) =>
        WEIGHT.map((row, i) => row.reduce((sum, w, j) => sum + w * vector[j]!, BIAS[i]!)).map(
          (x) => x / (1 + Math.abs(x)),
        ),
    },
    LayerNorm: {
      kind: "LayerNorm",
      config: { dimension: HIDDEN },
      tensors: weightsOf({ "norm.weight": GAIN, "norm.bias": BIAS }),
      of(vector) {
        const mean = vector.reduce((sum, x) => sum + x, 0) / HIDDEN;
        const spread = Math.sqrt(vector.reduce((sum, x) => sum + (x - mean) ** 2, 0) / HIDDEN + 1e-5);
        return vector.map((x, i) => ((x - mean) / spread) * GAIN[i]! + BIAS[i]!);
      },
    },
    Normalize: { kind: "Normalize", of: (vector) => vector.map((x) => x / Math.hypot(...vector)) },
    Dropout: { kind: "Dropout", config: { dropout: 0.5 }, of: (vector) => [...vector] },
  };

  test.each<[names: string[]]>([
    [["Dense"]],
    [["Normalize", "Dense"]],
    [["LayerNorm", "Normalize"]],
    [["Dense", "LayerNorm"]],
    [["LayerNorm", "Dense", "Normalize", "Dense"]],
    [["Dropout", "Normalize"]],
    [["Normalize", "Dropout"]],
    [["Dense", "Dense", "Dense", "Dropout", "LayerNorm"]],
  ])("%j behind pooling", async (names) => {
    const chain = names.map((name) => MODULES[name]!);
    const right = pooled("cls").map((vector) => chain.reduce((made, { of }) => of(made), vector));
    expectClose(await embedded(moduleFiles([CLS, ...chain])), right);
    expectClose(await embedded(moduleFiles([CLS, ...chain], "old")), right);
  });

  test("before pooling they work on each token, and what is not read does not matter", async () => {
    const names = { module_input_name: "token_embeddings", module_output_name: "token_embeddings" };
    const onTokens = { ...MODULES.Dense!, config: { ...MODULES.Dense!.config, ...names } };
    const norm = { ...MODULES.Normalize!, config: names };
    const right = tokens.map((rows) =>
      poolTokens(
        rows.map((row) => MODULES.Normalize!.of(MODULES.Dense!.of([...row]))),
        "mean",
      ),
    );
    expectClose(await embedded(moduleFiles([onTokens, norm, { kind: "Pooling" }])), right);
    expectClose(await embedded(moduleFiles([CLS, onTokens, norm])), pooled("cls"));
    // a Dense in front is ColBERT's only where nothing is pooled
    const config = { ...onTokens.config, bias: false, activation_function: act("Identity") };
    const matrix = { ...onTokens, config, tensors: weightsOf({ "linear.weight": WEIGHT }) };
    const files = moduleFiles([matrix, { kind: "Pooling" }]);
    const bare = await loadPretrained(engine, tinyTask({ architecture: "BertModel", heads: {}, files }));
    expect(bare.model.has("tokenEmbeddings")).toBe(false);
    const product = pooled("mean").map((vector) =>
      WEIGHT.map((row) => row.reduce((sum, w, j) => sum + w * vector[j]!, 0)),
    );
    expectClose(await embedText(bare, TEXTS), product);
    bare.model.dispose();
    const aside = { ...MODULES.Dense!, config: { ...MODULES.Dense!.config, module_output_name: "aside" } };
    expectClose(await embedded(moduleFiles([CLS, aside])), pooled("cls"));
  });

  test.each<[config: object, poolings: Pooling[]]>([
    [{}, ["mean"]],
    [{ pooling_mode: "cls" }, ["cls"]],
    [{ pooling_mode: "max" }, ["max"]],
    [{ pooling_mode: "mean_sqrt_len_tokens" }, ["mean_sqrt_len"]],
    [{ pooling_mode: "weightedmean" }, ["weighted_mean"]],
    [{ pooling_mode: ["lasttoken"] }, ["last_token"]],
    [{ pooling_mode: ["max", "cls"] }, ["max", "cls"]],
    [
      { pooling_mode: ["mean", "mean", "weightedmean", "mean_sqrt_len_tokens"] },
      ["mean", "mean", "weighted_mean", "mean_sqrt_len"],
    ],
    [{ pooling_mode_mean_tokens: true, pooling_mode_cls_token: true }, ["cls", "mean"]],
    [{ pooling_mode_lasttoken: true, pooling_mode_weightedmean_tokens: true }, ["weighted_mean", "last_token"]],
    [{ pooling_mode_mean_tokens: false }, ["mean"]],
    [{ pooling_mode: "max", pooling_mode_mean_tokens: true }, ["max"]],
  ])("pooling %j", async (config, poolings) => {
    expectClose(await embedded(moduleFiles([{ kind: "Pooling", config }])), pooled(...poolings));
  });

  test("a prompt that is not pooled is left out of every pooling", async () => {
    const poolings = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"];
    const config = { pooling_mode: poolings, include_prompt: false };
    const files = moduleFiles([{ kind: "Pooling", config }]);
    const [full] = await extractFeatures(plain, ["is it good ."]);
    const rows = Array.from({ length: 6 }, (_, i) => full!.data.subarray(i * HIDDEN, (i + 1) * HIDDEN));
    // [CLS] is it | good . [SEP]
    const kept = rows.slice(3);
    const right = [
      [...kept[0]!],
      ...(["max", "mean", "mean_sqrt_len"] as const).map((pooling) => [...poolTokens(kept, pooling)]),
      Array.from({ length: HIDDEN }, (_, i) => (4 * kept[0]![i]! + 5 * kept[1]![i]! + 6 * kept[2]![i]!) / 15),
      [...kept[2]!],
    ];
    expectClose(await embedded(files, { prompt: "is it " }, ["good ."]), [right.flat()]);
    const [unprompted] = await embedded(files, {}, ["is it good ."]);
    expectClose([unprompted!.subarray(0, HIDDEN)], [rows[0]!]);
  });

  test("an encoder in a folder of its own, as first versions wrote it", async () => {
    const whole = tinyTask({ files: moduleFiles([CLS], "old") });
    const names = ["config.json", "model.safetensors", "vocab.txt", "sentence_bert_config.json"];
    const folder = {
      name: "old",
      async open(path: string) {
        if (path === "modules.json") {
          const text = JSON.stringify([
            { path: "0_BERT", type: "sentence_transformers.models.BERT" },
            { path: "1_Pooling", type: "sentence_transformers.models.Pooling" },
          ]);
          return memoryFolder({ [path]: text }).open(path);
        }
        if (path === "0_BERT/sentence_bert_config.json") {
          return memoryFolder({ [path]: '{"max_seq_length": 4}' }).open(path);
        }
        if (names.includes(path)) return undefined;
        return whole.open(path.replace(/^0_BERT\//, ""));
      },
    };
    const pretrained = await loadPretrained(engine, folder);
    const warnings: string[] = [];
    const vectors = await embedText(pretrained, ["a bad", "the film was good ."], {
      onWarning: (message) => warnings.push(message),
    });
    const right = await embedText(plain, ["a bad", "the film"], { pooling: "cls", normalize: false });
    expectClose(vectors, right);
    expect(warnings).toEqual([expect.stringMatching(/has 7 tokens, the model takes 4/)]);
    pretrained.model.dispose();
  });

  test("max_seq_length goes before model_max_length", async () => {
    const files = {
      ...moduleFiles([CLS]),
      "sentence_bert_config.json": '{"max_seq_length": 6}',
      "tokenizer_config.json": '{"model_max_length": 4}',
    };
    const warnings: string[] = [];
    await embedded(files, { onWarning: (message) => warnings.push(message) }, ["the film was good and dull ."]);
    expect(warnings).toEqual([expect.stringMatching(/has 9 tokens, the model takes 6/)]);
  });

  test("sizes that do not fit are refused before anything is computed", async () => {
    const narrow = { ...MODULES.Dense!, config: { ...MODULES.Dense!.config, in_features: 15 } };
    const tensors = weightsOf({ "linear.weight": WEIGHT.map((row) => row.slice(1)), "linear.bias": BIAS });
    await expect(embedded(moduleFiles([CLS, { ...narrow, tensors }]))).rejects.toThrow(
      "a Dense module takes vectors of 15 dimensions, it is given 16",
    );
  });
});

test("what is malformed or not run is refused by name", async () => {
  const refused = async (own: Record<string, string | Uint8Array>, why: RegExp | string): Promise<void> =>
    expect(readSentenceModules(memoryFolder(own))).rejects.toThrow(why);
  const CONFIG = { in_features: 4, out_features: 2, activation_function: "torch.nn.GLU" };
  await refused({ "modules.json": "{" }, /memory\/modules.json: not valid JSON/);
  await refused(
    moduleFiles([{ kind: "WordWeights" }]),
    /modules.json has Transformer, WordWeights; expected Transformer, then at most 32 of Pooling, Dense, LayerNorm/,
  );
  await refused(moduleFiles([{ kind: "constructor" }]), /has Transformer, constructor; expected/);
  await refused({ "modules.json": "[]" }, /modules.json has ; expected Transformer/);
  await refused(moduleFiles([]), /modules.json has Transformer; none of them gives sentence_embedding/);
  await refused(moduleFiles([{ kind: "Normalize" }, CLS]), /nothing before Normalize gives its sentence_embedding/);
  const wayward = {
    "modules.json":
      '[{"type":"sentence_transformers.models.Transformer"},{"type":"sentence_transformers.models.Pooling","path":"../1_Pooling"}]',
  };
  await refused(wayward, /\.\.\/1_Pooling\/config.json is missing/);
  const theirOwn = {
    ...moduleFiles([CLS]),
    "modules.json": '[{"type":"sentence_transformers.models.Transformer"},{"type":"my.Pooling","path":"1_Pooling"}]',
  };
  await refused(theirOwn, /modules.json has Transformer, my.Pooling; expected Transformer, then/);
  const pooling = (mode: unknown) => moduleFiles([{ kind: "Pooling", config: { pooling_mode: mode } }]);
  await refused(pooling("median"), /pooling_mode is "median"; expected cls, max, mean/);
  await refused(pooling(["mean", 7]), /pooling_mode is 7; expected cls/);
  const unknown = { pooling_mode_mean_tokens: false, pooling_mode_median_tokens: true };
  await refused(
    moduleFiles([{ kind: "Pooling", config: unknown }]),
    /pooling_mode_median_tokens is true; expected one of cls/,
  );
  await refused(pooling([]), /pooling_mode is "a list of 0"; expected 1 to 32 poolings/);
  await refused(pooling(Array(33).fill("mean")), /pooling_mode is "a list of 33"; expected 1 to 32/);
  await refused(moduleFiles([CLS, { kind: "Dense", config: undefined }]), /2_Dense\/config.json is missing/);
  await refused(
    moduleFiles([CLS, { kind: "Dense", config: CONFIG }]),
    /"torch.nn.GLU"; expected torch's CELU, ELU, GELU/,
  );
  const theirs = { ...CONFIG, activation_function: "my.activations.GELU" };
  await refused(moduleFiles([CLS, { kind: "Dense", config: theirs }]), /"my.activations.GELU"; expected torch's/);
  const missing = dense({}, { "linear.bias": [1, 2] });
  await refused(moduleFiles([CLS, missing]), /2_Dense: linear.weight is missing, config.json asks for \[2, 3\]/);
  await refused(
    {
      ...moduleFiles([CLS]),
      "config_sentence_transformers.json": '{"prompts":{"a":1}}',
    },
    /prompts.a is 1; expected a string/,
  );
});

test("many modules, or large ones, are refused before they are read", async () => {
  const refused = async (modules: ModuleFile[], why: RegExp): Promise<void> =>
    expect(readSentenceModules(memoryFolder(moduleFiles(modules)))).rejects.toThrow(why);
  await refused([CLS, ...Array<ModuleFile>(10).fill({ kind: "Dense" })], /at most 9 Dense/);
  await refused([CLS, ...Array<ModuleFile>(32).fill({ kind: "Normalize" })], /at most 32 of/);
  const wide = (config: object): ModuleFile => ({ kind: "Dense", config: { in_features: 16_384, ...config } });
  const out = (most: number): RegExp => new RegExp(`out_features is 16384; expected a whole number from 1 to ${most}`);
  await refused([CLS, wide({ out_features: 16_384 })], out(4096));
  await refused([CLS, wide({ out_features: 16_384, use_residual: true })], out(2048));
  await refused(
    [CLS, { kind: "LayerNorm", config: { dimension: 16_385 } }],
    /dimension is 16385; expected .* to 16384/,
  );
  expect(await readSentenceModules(memoryFolder({}))).toBeUndefined();
});
