/**
 * What writes text: an encoder-decoder of two BERTs (`EncoderDecoderModel`), or a causal BERT alone (`BertLMHeadModel`,
 * `BertGenerationDecoder`). Read from config.json, and from generation_config.json what is asked of it by default.
 */

import { type Folder, readText } from "../../files/bytes.ts";
import { quote, type Report } from "../../files/faults.ts";
import { parseJson } from "../../files/json.ts";
import { type BertConfig, ModelError, parseConfig } from "../config.ts";

/** One of the two. */
export interface PartConfig extends BertConfig {
  /** BertGeneration has no token types, and a language-model head without a transform. */
  readonly generation: boolean;
}

export interface GenerationModelConfig {
  /** None: a causal language model, which goes on with its own text. */
  readonly encoder: PartConfig | undefined;
  readonly decoder: PartConfig;
  /** Whether the decoder is said to have the encoder's weights (`tie_encoder_decoder`). */
  readonly shared: boolean;
  /** By the keys of generation_config.json: its own, else those of config.json, and ids of tokens of its decoder. */
  readonly defaults: Readonly<Record<string, unknown>>;
}

/** Also stand in the configuration of the decoder, which is right where nobody else says them. */
const TOKENS = ["bos_token_id", "eos_token_id", "pad_token_id"] as const;

/** Architectures that write by themselves. */
const CAUSAL = ["BertLMHeadModel", "BertGenerationDecoder"];

type Fields = Readonly<Record<string, unknown>>;

/**
 * Whether a config.json is of a model that writes text.
 * @param config as parsed
 */
export function writes(config: unknown): boolean {
  const { model_type: type, architectures, is_decoder } = Object(config) as Fields;
  const named = Array.isArray(architectures) && architectures.some((name) => CAUSAL.includes(name as string));
  return type === "encoder-decoder" || named || (is_decoder === true && /^bert(-generation)?$/.test(String(type)));
}

/**
 * Whether a folder is of such a model.
 * @throws nothing but what reading does: what is wrong with config.json is told by who loads it
 */
export async function isWriter(folder: Folder): Promise<boolean> {
  const text = (await readText(folder, "config.json")) ?? "{}";
  try {
    return writes(parseJson(text));
  } catch {
    return false;
  }
}

/**
 * @param warn told of what is odd in parts that are not needed
 * @throws ModelError with what is wrong, and for a model that has no decoder
 */
export async function readGenerationConfig(folder: Folder, warn?: Report): Promise<GenerationModelConfig> {
  const text = await readText(folder, "config.json");
  if (text === undefined) throw new ModelError(folder.name, ["there is no config.json; is it a model folder?"]);
  const where = `${folder.name}/config.json`;
  const top = fieldsOf(text, where);
  if (!writes(top)) {
    const kind = `model_type ${quote(top.model_type ?? "bert")}, architectures ${quote(top.architectures ?? null)}`;
    throw new ModelError(where, [
      `${kind} has no decoder, so it cannot write text: that takes an encoder-decoder of two BERTs or a causal BERT`,
    ]);
  }
  const beside = await readText(folder, "generation_config.json");
  const own = beside === undefined ? {} : fieldsOf(beside, `${folder.name}/generation_config.json`);
  const pair = top.model_type === "encoder-decoder";
  const part = (name: "encoder" | "decoder"): PartConfig => {
    const fields = pair ? top[name] : top;
    if (typeof fields !== "object" || fields === null) throw new ModelError(where, [`it has no ${name}`]);
    return partOf(fields as Fields, pair ? `${where}, ${name}` : where, warn);
  };
  const decoder = part("decoder");
  const encoder = pair ? part("encoder") : undefined;
  const nested = (pair ? top.decoder : top) as Fields;
  const shared = [top, nested, Object(top.encoder) as Fields].some((fields) => fields.tie_encoder_decoder === true);
  const tokens = Object.fromEntries(TOKENS.map((key) => [key, nested[key]]));
  return { encoder, decoder, shared, defaults: { ...said(tokens), ...said(top), ...said(own) } };
}

/** Less what is null, which says nothing. */
function said(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined));
}

function fieldsOf(text: string, where: string): Fields {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (error) {
    throw new ModelError(where, [`not JSON: ${(error as Error).message}`]);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ModelError(where, ["not a JSON object"]);
  }
  return json as Fields;
}

/** As a BERT; what its architectures are called says nothing here, since a decoder's say BertForMaskedLM as often. */
function partOf(fields: Fields, where: string, warn?: Report): PartConfig {
  const generation = fields.model_type === "bert-generation";
  const bert = {
    ...fields,
    ...{ architectures: ["BertLMHeadModel"], is_decoder: false, add_cross_attention: false },
    ...(generation && { model_type: "bert", type_vocab_size: 1 }),
  };
  return { ...parseConfig(JSON.stringify(bert), where, warn), generation };
}
