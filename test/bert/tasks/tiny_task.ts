/** Small models with random weights and a vocabulary, for tasks. */

import type { Folder } from "../../../src/files/bytes.ts";
import { memoryFolder } from "../../files/build.ts";
import { TINY, tinyModel } from "../tiny.ts";

const SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
export const WORDS: readonly string[] =
  "a an the film movie was is good bad long dull and not so it i we he she they .".split(" ");

/** 50 entries, as many as the model has. */
const VOCABULARY = [
  ...SPECIAL,
  ...WORDS,
  ...Array.from({ length: 50 - SPECIAL.length - WORDS.length }, (_, i) => `##${i}`),
];

interface TinyTask {
  readonly architecture?: string;
  /** Added to config.json. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Heads beside encoder and pooler: tensors by shape. Default: a classifier of two labels. */
  readonly heads?: Readonly<Record<string, number[]>>;
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

const HIDDEN = TINY.hidden_size;

type Tensors = Readonly<Record<string, number[]>>;

export function labelHead(labels: number): Tensors {
  return { "classifier.weight": [labels, HIDDEN], "classifier.bias": [labels] };
}

export const SPAN_HEAD: Tensors = { "qa_outputs.weight": [2, HIDDEN], "qa_outputs.bias": [2] };

export const NEXT_SENTENCE_HEAD: Tensors = {
  "cls.seq_relationship.weight": [2, HIDDEN],
  "cls.seq_relationship.bias": [2],
};

export const MASKED_LM_HEAD: Tensors = {
  "cls.predictions.transform.dense.weight": [HIDDEN, HIDDEN],
  "cls.predictions.transform.dense.bias": [HIDDEN],
  "cls.predictions.transform.LayerNorm.weight": [HIDDEN],
  "cls.predictions.transform.LayerNorm.bias": [HIDDEN],
  "cls.predictions.bias": [TINY.vocab_size],
};

export function tinyTask({ architecture, config = {}, heads, files = {} }: TinyTask = {}): Folder {
  const architectures = [architecture ?? "BertForSequenceClassification"];
  const model = tinyModel({ architectures }, (tensors) =>
    heads === undefined
      ? tensors
      : { ...Object.fromEntries(Object.entries(tensors).filter(([name]) => !name.startsWith("classifier"))), ...heads },
  );
  const own = memoryFolder({
    "config.json": JSON.stringify({ ...TINY, architectures, ...config }),
    "vocab.txt": `${VOCABULARY.join("\n")}\n`,
    ...files,
  });
  return { name: "tiny", open: async (path) => (await own.open(path)) ?? model.open(path) };
}
