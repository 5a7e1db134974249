/** sentence_bert_config.json and config_sentence_transformers.json: what is followed, and what is refused by name. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadPretrained, type Pretrained } from "../../../src/bert/tasks/pretrained.ts";
import { embedText } from "../../../src/bert/tasks/sentence_embedding.ts";
import { readSentenceModules } from "../../../src/bert/tasks/sentence_modules.ts";
import { Engine } from "../../../src/runtime/engine.ts";
import { testDevice } from "../../device.ts";
import { memoryFolder } from "../../files/build.ts";
import { type ModuleFile, moduleFiles } from "./module_files.ts";
import { tinyTask } from "./tiny_task.ts";

const CLS: ModuleFile = { kind: "Pooling", config: { pooling_mode: "cls" } };
const NORMALIZE: ModuleFile = { kind: "Normalize" };

const withFile = (path: string, content: object, modules = [CLS]) => ({
  ...moduleFiles(modules),
  [path]: JSON.stringify(content),
});
const encoder = (content: object) => withFile("sentence_bert_config.json", content);
const model = (content: object, modules?: ModuleFile[]) =>
  withFile("config_sentence_transformers.json", content, modules);

/** The usual of sentence-transformers 6. */
const USUAL = {
  transformer_task: "feature-extraction",
  modality_config: { text: { method: "forward", method_output_name: "last_hidden_state" } },
  module_output_name: "token_embeddings",
};

test.each<[settings: object, most: number | undefined]>([
  [USUAL, undefined],
  [{ max_seq_length: 8, do_lower_case: false }, 8],
  [{ ...USUAL, processing_kwargs: { text: { max_length: 6, padding: true, truncation: true } } }, 6],
  [{ max_seq_length: 4, processing_kwargs: { common: { max_length: 5, return_tensors: "pt" } } }, 5],
  [{ processing_kwargs: { common: { max_length: 5 }, text: { max_length: 6 } } }, 6],
  [{ max_seq_length: 4, tokenizer_args: { model_max_length: 6, use_fast: true } }, 6],
  [{ model_args: { torch_dtype: "float16" }, config_args: { trust_remote_code: true } }, undefined],
])("%j: at most %s tokens", async (settings, most) => {
  expect((await readSentenceModules(memoryFolder(encoder(settings))))?.maxSeqLength).toBe(most);
});

test.each<[settings: object, why: string]>([
  [
    { processing_kwargs: { text: { add_special_tokens: false } } },
    "processing_kwargs.text.add_special_tokens is false",
  ],
  [{ tokenizer_args: { do_lower_case: false } }, "tokenizer_args.do_lower_case is false; expected no such argument"],
  [{ config_args: { hidden_act: "relu" } }, 'config_args.hidden_act is "relu"; expected no such argument'],
  [{ model_kwargs: { num_labels: 2 } }, "model_kwargs.num_labels is 2"],
  [{ transformer_task: "text-generation" }, 'transformer_task is "text-generation"; expected feature-extraction or'],
  [{ ...USUAL, module_output_name: "sentence_embedding" }, "expected token_embeddings"],
  [
    { modality_config: { text: { method: "forward", method_output_name: "pooler_output" } } },
    'modality_config.text.method_output_name is "pooler_output"; expected last_hidden_state',
  ],
])("%j is refused by name", async (settings, why) => {
  await expect(readSentenceModules(memoryFolder(encoder(settings)))).rejects.toThrow(why);
});

test("prompts: null is none, and query and document are names of every model", async () => {
  const read = async (content: object) => (await readSentenceModules(memoryFolder(model(content))))!;
  const { prompts, defaultPrompt } = await read({ prompts: { query: null, doc: "a " }, default_prompt_name: "doc" });
  expect(prompts).toEqual({ query: "", doc: "a " });
  expect(defaultPrompt).toBe("doc");
  expect((await read({ prompts: { doc: "a " }, default_prompt_name: "query" })).defaultPrompt).toBeUndefined();
  await expect(read({ prompts: { doc: "a " }, default_prompt_name: "passage" })).rejects.toThrow(
    'default_prompt_name is "passage"; expected one of the prompts (doc)',
  );
});

test("a similarity that is of models of another kind gives way to the cosine", async () => {
  const of = async (name: unknown) =>
    (await readSentenceModules(memoryFolder(model({ similarity_fn_name: name }))))?.similarity;
  expect(await of("maxsim")).toBe("cosine");
  expect(await of("constructor")).toBe("cosine");
  expect(await of(null)).toBe("cosine");
  expect(await of("manhattan")).toBe("manhattan");
});

describe("with a model", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await Engine.create(await testDevice());
  });
  afterAll(() => engine.dispose());

  async function having<T>(
    files: Readonly<Record<string, string | Uint8Array>>,
    use: (pretrained: Pretrained) => Promise<T>,
  ): Promise<T> {
    const pretrained = await loadPretrained(engine, tinyTask({ files }));
    try {
      return await use(pretrained);
    } finally {
      pretrained.model.dispose();
    }
  }

  test("truncate_dim keeps the first dimensions of what the modules give, which are not scaled again", async () => {
    const TEXT = ["the film was good ."];
    const [full] = await having(moduleFiles([CLS, NORMALIZE]), (own) => embedText(own, TEXT));
    await having(model({ truncate_dim: 5 }, [CLS, NORMALIZE]), async (own) => {
      const [short] = await embedText(own, TEXT);
      expect([...short!]).toEqual([...full!.subarray(0, 5)].map((x) => expect.closeTo(x, 6)));
      const [shorter] = await embedText(own, TEXT, { truncateDim: 3 });
      expect(shorter).toHaveLength(3);
      const [unit] = await embedText(own, TEXT, { normalize: true });
      expect(Math.hypot(...unit!)).toBeCloseTo(1, 6);
      expect(unit).toHaveLength(5);
    });
    const [beyond] = await having(model({ truncate_dim: 500 }, [CLS]), (own) => embedText(own, TEXT));
    expect(beyond).toHaveLength(16);
    await expect(readSentenceModules(memoryFolder(model({ truncate_dim: 0 })))).rejects.toThrow("truncate_dim is 0");
  });

  test("do_lower_case leaves special tokens as they are", async () => {
    const files = {
      ...encoder({ do_lower_case: true }),
      "tokenizer_config.json": '{"tokenizer_class": "BertTokenizer", "do_lower_case": false}',
    };
    await having(files, async (own) => {
      const [upper, lower, unmarked] = await embedText(own, [
        "The FILM was [MASK] .",
        "the film was [MASK] .",
        "the film was [mask] .",
      ]);
      expect(upper).toEqual(lower);
      expect(upper).not.toEqual(unmarked);
    });
  });
});
