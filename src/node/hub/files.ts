/** Which files of a repository a model is made of, and which an adapter. */

import { ADAPTER_CONFIG, ADAPTER_FILES, ADAPTER_WEIGHTS_FILES, MERGED_CONFIG } from "../../bert/adapter_file.ts";
import { unsafePath } from "../../files/bytes.ts";
import { quote } from "../../files/faults.ts";

/** Read where they are there; small. vocab.txt only where there is no tokenizer.json. */
const OPTIONAL = [
  "generation_config.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "artifact.metadata",
];
const TOKENIZER = "tokenizer.json";
const VOCABULARY = "vocab.txt";

/** What sentence-transformers puts behind the encoder, each module in a folder of its own. */
const MODULES = "modules.json";

/** Files of sentence-transformers beside a model or an adapter. */
const SENTENCE = ["sentence_bert_config.json", "config_sentence_transformers.json"];

/** In the order in which `openCheckpoint` prefers them; each may be in several files, with an index. */
const WEIGHTS = ["model.safetensors", "pytorch_model.bin"];

export const CONFIG = "config.json";

/** Whatever of a model has a name of its own. */
export const KNOWN: readonly string[] = [
  CONFIG,
  ...OPTIONAL,
  ...SENTENCE,
  TOKENIZER,
  VOCABULARY,
  MODULES,
  ...WEIGHTS.flatMap((file) => [file, `${file}.index.json`]),
];

const PARTS: ReadonlySet<string> = new Set([...KNOWN, ...ADAPTER_FILES].map((path) => path.split("/")[0]!));

/** Whether a file or folder of a model's folder would make another model, or adapter, of it, or another tokenizer. */
export const makesModel = (name: string): boolean =>
  PARTS.has(name) ||
  /^\d+_(Pooling|Normalize|Dense)$/.test(name) ||
  PARTS.has(name.replace(/-\d+-of-\d+(?=\.(safetensors|bin)$)/, ""));

/** Bytes. What is parsed whole, and what is read in slices; beyond these it is no BERT. */
const MOST_TEXT = 64 << 20;
const MOST_WEIGHTS = 2 ** 35;

/** What a set of files has, and can be known not to have. */
export interface FileSet {
  /** `undefined`: not known, as in a cache that was never filled. */
  has(path: string): Promise<boolean | undefined> | boolean | undefined;
  /** Text of a file that is there. */
  read(path: string): Promise<string>;
}

export interface ModelFiles {
  /** Configuration, tokenizer and index: small. */
  readonly small: readonly string[];
  readonly weights: readonly string[];
  /** Looked for, and not in the set. */
  readonly absent: readonly string[];
  /** Looked for, and not known. */
  readonly unknown: readonly string[];
  /** What a model cannot do without, and is not in the set. */
  readonly missing: readonly string[];
}

/** A kind of what a repository may have. */
export interface RepoKind {
  readonly what: "model" | "adapter";
  /** The file without which it is none. */
  readonly config: string;
  /** What to do where files are missing. */
  readonly remedy: string;
  /** Goes through what it may be made of. @throws RangeError for an index that is malformed, or names a file outside the folder */
  files(set: FileSet): Promise<ModelFiles>;
}

/** @param weights `false` leaves those out, for what works with the tokenizer alone */
export const modelKind = (weights: boolean): RepoKind => ({
  what: "model",
  config: CONFIG,
  remedy: "choose a model with safetensors",
  async files(set) {
    const { found, take, takeOptional } = search(set);
    /** The weights in a folder, which is "" or ends with a slash. */
    const takeWeights = async (folder: string): Promise<void> => {
      for (const file of WEIGHTS) {
        if (await take(folder + file, "weights")) return;
        const index = `${folder}${file}.index.json`;
        if (!(await take(index, "small"))) continue;
        for (const shard of shardsOf(await set.read(index), index)) {
          if (!(await take(folder + shard, "weights"))) found.missing.push(folder + shard);
        }
        return;
      }
      found.missing.push(`${folder}${WEIGHTS[0]}`);
    };

    if (!(await take(CONFIG, "small"))) found.missing.push(CONFIG);
    await takeOptional([...OPTIONAL, ...SENTENCE]);
    if (!(await take(TOKENIZER, "small"))) await take(VOCABULARY, "small");
    if (await take(MODULES, "small")) {
      for (const { folder, hasWeights } of modulesOf(await set.read(MODULES))) {
        await take(`${folder}config.json`, "small");
        if (hasWeights && weights) await takeWeights(folder);
      }
    }
    if (weights) await takeWeights("");
    return found;
  },
});

/** Of PEFT: its own tokenizer and its base's weights are left out. */
export const ADAPTER: RepoKind = {
  what: "adapter",
  config: ADAPTER_CONFIG,
  remedy: "is it an adapter of PEFT?",
  async files(set) {
    const { found, take, takeOptional } = search(set);
    if (!(await take(ADAPTER_CONFIG, "small"))) found.missing.push(ADAPTER_CONFIG);
    await takeOptional([MERGED_CONFIG, CONFIG, ...SENTENCE]);
    if (await take(MODULES, "small")) {
      const modules = modulesOf(await set.read(MODULES));
      await takeOptional(modules.map(({ folder }) => `${folder}config.json`));
    }
    for (const file of ADAPTER_WEIGHTS_FILES) if (await take(file, "weights")) return found;
    found.missing.push(ADAPTER_WEIGHTS_FILES[0]!);
    return found;
  },
};

function search(set: FileSet) {
  const found = { small: [], weights: [], absent: [], unknown: [], missing: [] } as Record<keyof ModelFiles, string[]>;
  const take = async (path: string, to: "small" | "weights"): Promise<boolean> => {
    const there = await set.has(path);
    found[there === undefined ? "unknown" : there ? to : "absent"].push(path);
    return there === true;
  };
  const takeOptional = async (paths: readonly string[]): Promise<void> => {
    for (const path of paths) await take(path, "small");
  };
  return { found, take, takeOptional };
}

/** The longest a file may be, in bytes. */
export function mostBytes(path: string): number {
  return /\.(safetensors|bin)$/.test(path) ? MOST_WEIGHTS : MOST_TEXT;
}

function shardsOf(text: string, file: string): string[] {
  const map = (parse(text, file) as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null) {
    throw new RangeError(`${file}: it has no weight_map from tensor names to file names`);
  }
  const shards = new Set(Object.values(map).map((shard) => safePath(shard, file)));
  if (shards.size === 0) throw new RangeError(`${file}: its weight_map is empty`);
  return [...shards];
}

/** The modules that have a folder. Whatever else is wrong with them is for their reader to say. */
function modulesOf(text: string): { folder: string; hasWeights: boolean }[] {
  const modules = parse(text, MODULES);
  if (!Array.isArray(modules)) return [];
  return modules.flatMap((module: { path?: unknown; type?: unknown } | null) => {
    if (!module?.path) return [];
    return [
      { folder: `${safePath(module.path, MODULES)}/`, hasWeights: /\.(Dense|LayerNorm)$/.test(String(module.type)) },
    ];
  });
}

function parse(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RangeError(`${file}: not valid JSON: ${(error as Error).message}`);
  }
}

function safePath(path: unknown, file: string): string {
  const reason = typeof path === "string" ? unsafePath(path) : "it is not a string";
  if (reason !== undefined) throw new RangeError(`${file}: file name ${quote(String(path))} is refused: ${reason}`);
  return path as string;
}
