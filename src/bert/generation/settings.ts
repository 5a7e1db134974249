/** What is asked of a generation: options, what the model's files say where none is given, and what goes with what. */

import { quote } from "../../files/faults.ts";
import { type Names, requireKnown } from "../../files/options.ts";
import type { GenerationModelConfig } from "./config.ts";

/** Names are those of transformers, in camel case; what is not given is as generation_config.json or config.json says. */
export interface GenerationSettings {
  /** Tokens of a sequence, its beginning among them. Default 20 beyond the beginning. */
  readonly maxLength?: number | undefined;
  /** Tokens that are written at most; goes before `maxLength`. */
  readonly maxNewTokens?: number | undefined;
  /** Tokens of a sequence before it may end. Default 0. */
  readonly minLength?: number | undefined;
  /** Tokens that are written before a sequence may end; goes before `minLength`. */
  readonly minNewTokens?: number | undefined;
  /** Beams of a search; 1 (default): the best token is taken each time, or one drawn. */
  readonly numBeams?: number | undefined;
  /** Sequences for each input; of a search no more than its beams. Default 1. */
  readonly numReturnSequences?: number | undefined;
  /** Of a search: scores are sums of log probabilities over their length to this power. Default 1. */
  readonly lengthPenalty?: number | undefined;
  /**
   * Of a search. `true`: an input is done as soon as `numBeams` sequences are. `false` (default): once none is likely to
   * become better, `"never"`: once none can.
   */
  readonly earlyStopping?: boolean | "never" | undefined;
  /** No n tokens in a row may come twice. Default 0: they may. */
  readonly noRepeatNgramSize?: number | undefined;
  /** No n tokens in a row of the source may come. Default 0: they may. */
  readonly encoderNoRepeatNgramSize?: number | undefined;
  /** Above 1 tokens that are there already become less likely, below 1 more. Default 1. */
  readonly repetitionPenalty?: number | undefined;
  /** Sequences of ids that may not come. */
  readonly badWordsIds?: readonly (readonly number[])[] | undefined;
  /** The first id that is written. */
  readonly forcedBosTokenId?: number | undefined;
  /** The last id of what reaches its greatest length. */
  readonly forcedEosTokenId?: number | readonly number[] | undefined;
  /** Draws each token. Default false. */
  readonly doSample?: boolean | undefined;
  /** Of draws: scores are divided by it. Default 1. */
  readonly temperature?: number | undefined;
  /** Draws among the k most probable; 0 for all. Default 50. */
  readonly topK?: number | undefined;
  /** Draws among the fewest whose probabilities sum to so much. Default 1. */
  readonly topP?: number | undefined;
  /** Of draws, a u32: the same draws for the same seed and place of an input. Default 0. */
  readonly seed?: number | undefined;
  /** What a sequence begins with; of a causal model its prompt does. */
  readonly decoderStartTokenId?: number | undefined;
  /** What ends one. */
  readonly eosTokenId?: number | readonly number[] | undefined;
  /** What is written behind the end. */
  readonly padTokenId?: number | undefined;
}

export const GENERATION_SETTINGS: Names<GenerationSettings> = {
  maxLength: 1,
  maxNewTokens: 1,
  minLength: 1,
  minNewTokens: 1,
  numBeams: 1,
  numReturnSequences: 1,
  lengthPenalty: 1,
  earlyStopping: 1,
  noRepeatNgramSize: 1,
  encoderNoRepeatNgramSize: 1,
  repetitionPenalty: 1,
  badWordsIds: 1,
  forcedBosTokenId: 1,
  forcedEosTokenId: 1,
  doSample: 1,
  temperature: 1,
  topK: 1,
  topP: 1,
  seed: 1,
  decoderStartTokenId: 1,
  eosTokenId: 1,
  padTokenId: 1,
};

/** Everything decided. */
export interface Settled {
  /** Tokens of a sequence, at most and at least. */
  readonly most: number;
  readonly least: number;
  readonly beams: number;
  readonly returned: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: boolean | "never";
  readonly ngram: number;
  readonly sourceNgram: number;
  readonly penalty: number;
  readonly words: readonly (readonly number[])[];
  readonly forcedFirst: number | undefined;
  readonly forcedLast: readonly number[];
  readonly sample: { temperature: number; topK: number; topP: number; seed: number } | undefined;
  readonly ends: readonly number[];
  readonly pad: number;
}

/** What only searches and only draws have. */
const OF_BEAMS = ["lengthPenalty", "earlyStopping"] as const;
const OF_DRAWS = ["temperature", "topK", "topP", "seed"] as const;

/** Of generation_config.json what is not run, and the value that asks nothing. */
const NOT_RUN: Readonly<Record<string, unknown>> = {
  num_beam_groups: 1,
  diversity_penalty: 0,
  typical_p: 1,
  epsilon_cutoff: 0,
  eta_cutoff: 0,
  min_p: 0,
  encoder_repetition_penalty: 1,
  penalty_alpha: 0,
  renormalize_logits: false,
  guidance_scale: 1,
};

/** The most beams of a search, and sequences of an input. */
const MOST_WIDTH = 64;

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Reads settings one by one: what is given, else what the files say, else a default. */
function reader(config: GenerationModelConfig, given: GenerationSettings) {
  const value = (name: keyof GenerationSettings): unknown => given[name] ?? config.defaults[snake(name)];
  const vocab = config.decoder.vocabSize;
  const wrong = (name: string, value: unknown, must: string): RangeError => {
    const theirs = given[name as keyof GenerationSettings] === undefined && config.defaults[snake(name)] !== undefined;
    return new RangeError(`${theirs ? `the model's own ${snake(name)}` : name} is ${quote(value)}, it must be ${must}`);
  };
  return {
    number(name: keyof GenerationSettings, fallback: number, fits: (value: number) => boolean, must: string): number {
      const found = value(name) ?? fallback;
      if (typeof found === "number" && Number.isFinite(found) && fits(found)) return found;
      throw wrong(name, found, must);
    },
    count(name: keyof GenerationSettings, fallback: number, least = 0, most = 2 ** 31): number {
      const fits = (n: number): boolean => Number.isInteger(n) && n >= least && n <= most;
      return this.number(name, fallback, fits, `a whole number from ${least} to ${most}`);
    },
    ids(name: keyof GenerationSettings): number[] {
      const found = value(name);
      return (found === undefined ? [] : [found].flat()).map((id) => this.id(name, id));
    },
    id(name: string, id: unknown): number {
      if (Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocab) return id as number;
      throw wrong(name, id, `an id from 0 to ${vocab - 1}, which the decoder's vocab_size allows`);
    },
    flag(name: keyof GenerationSettings): boolean {
      const found = value(name) ?? false;
      if (typeof found === "boolean") return found;
      throw wrong(name, found, "true or false");
    },
    words(name: keyof GenerationSettings): number[][] {
      const found = value(name) ?? [];
      const lists = Array.isArray(found) && found.every((word) => Array.isArray(word) && word.length > 0);
      if (!lists) throw wrong(name, found, "a list of lists of ids, none of them empty");
      return (found as unknown[][]).map((word) => word.map((id) => this.id(name, id)));
    },
    wrong,
    value,
  };
}

/**
 * @param begun tokens that sequences begin with
 * @throws RangeError for a setting out of range, TypeError for what does not go with another, or is unknown
 */
export function settle(config: GenerationModelConfig, given: GenerationSettings, begun: number): Settled {
  requireKnown("generation", given, GENERATION_SETTINGS);
  const read = reader(config, given);
  const beams = read.count("numBeams", 1, 1, MOST_WIDTH);
  const returned = read.count("numReturnSequences", 1, 1, MOST_WIDTH);
  const draws = read.flag("doSample");
  const needless = (names: readonly (keyof GenerationSettings)[]) => names.find((name) => given[name] !== undefined);
  if (draws && beams > 1) {
    throw new TypeError(`doSample draws and numBeams ${beams} searches: set numBeams to 1, or doSample to false`);
  }
  const ofDraws = needless(OF_DRAWS);
  if (!draws && ofDraws) throw new TypeError(`${ofDraws} is of draws: set doSample to true, or leave it out`);
  const ofBeams = needless(OF_BEAMS);
  if (beams === 1 && ofBeams)
    throw new TypeError(`${ofBeams} is of a search: set numBeams to 2 or more, or leave it out`);
  if (!draws && returned > beams) {
    const remedy = "ask for fewer, search with more beams, or draw with doSample";
    throw new TypeError(`numReturnSequences is ${returned}, numBeams ${beams}: ${remedy}`);
  }
  const sourceNgram = read.count("encoderNoRepeatNgramSize", 0);
  if (sourceNgram > 0 && !config.encoder && given.encoderNoRepeatNgramSize !== undefined) {
    throw new TypeError("encoderNoRepeatNgramSize is of a source, which a causal language model does not have");
  }
  const { most, least } = lengths(config, given, begun, read);
  const ends = read.ids("eosTokenId");
  const early = read.value("earlyStopping") ?? false;
  if (typeof early !== "boolean" && early !== "never") {
    throw read.wrong("earlyStopping", early, 'true, false or "never"');
  }
  const positive = (name: "temperature" | "repetitionPenalty", fallback: number): number =>
    // beyond that scores are no numbers of 32 bits
    read.number(name, fallback, (value) => value >= 1e-30 && value <= 1e30, "above 0, from 1e-30 to 1e30");
  const words = read.words("badWordsIds");
  const candidates = Math.max(2, 1 + ends.length) * beams;
  if (beams > 1 && candidates > config.decoder.vocabSize) {
    throw new RangeError(
      `numBeams ${beams} takes ${candidates} candidates, the vocabulary has ${config.decoder.vocabSize}`,
    );
  }
  const first = read.ids("forcedBosTokenId")[0];
  return {
    ...{ most, least, beams, returned, sourceNgram, ends },
    lengthPenalty: read.number("lengthPenalty", 1, (value) => Math.abs(value) <= 10, "a number from -10 to 10"),
    earlyStopping: early,
    ngram: read.count("noRepeatNgramSize", 0),
    penalty: positive("repetitionPenalty", 1),
    // as in transformers: an id that ends a sequence is no bad word
    words: words.filter((word) => word.length > 1 || !ends.includes(word[0]!)),
    forcedFirst: first,
    forcedLast: read.ids("forcedEosTokenId"),
    sample: draws
      ? {
          temperature: positive("temperature", 1),
          topK: read.count("topK", 50),
          topP: read.number("topP", 1, (value) => value > 0 && value <= 1, "above 0, at most 1"),
          seed: read.count("seed", 0, 0, 2 ** 32 - 1),
        }
      : undefined,
    pad: read.ids("padTokenId")[0] ?? ends[0] ?? 0,
  };
}

function lengths(
  { decoder, defaults }: GenerationModelConfig,
  given: GenerationSettings,
  begun: number,
  read: ReturnType<typeof reader>,
): { most: number; least: number } {
  const positions = decoder.maxPositionEmbeddings;
  // a default of 20 is transformers' own, and counts what is written
  const plain = given.maxLength === undefined && (defaults.max_length ?? 20) === 20;
  const news = given.maxNewTokens ?? (given.maxLength === undefined ? defaults.max_new_tokens : undefined);
  const asked =
    news !== undefined ? begun + read.count("maxNewTokens", 0, 1) : plain ? begun + 20 : read.count("maxLength", 20, 1);
  const said =
    given.maxNewTokens !== undefined ? "maxNewTokens" : given.maxLength !== undefined ? "maxLength" : undefined;
  if (asked > positions && said) {
    throw new RangeError(`${said} asks for ${asked} tokens, the decoder has ${positions} positions: ask for fewer`);
  }
  const most = Math.min(asked, positions);
  if (most <= begun) {
    throw new RangeError(`maxLength is ${most}, and ${begun} tokens are there already: nothing can be written`);
  }
  const least =
    read.value("minNewTokens") !== undefined ? begun + read.count("minNewTokens", 0) : read.count("minLength", 0);
  if (least > most && (given.minLength ?? given.minNewTokens) !== undefined) {
    throw new RangeError(`minLength asks for ${least} tokens, maxLength for ${most} at most`);
  }
  return { most, least };
}

/** What a sequence begins with where nothing is given. @throws TypeError where nobody says it */
export function startTokens(config: GenerationModelConfig, given: GenerationSettings): number[] {
  const { defaults, encoder } = config;
  if (!encoder) throw new TypeError("a causal language model goes on with a prompt, and none is given");
  const id = given.decoderStartTokenId ?? defaults.decoder_start_token_id ?? defaults.bos_token_id;
  if (id !== undefined) return [reader(config, given).id("decoderStartTokenId", id)];
  throw new TypeError("the model's files do not say what a sequence begins with; give decoderStartTokenId");
}

/** What the model's files ask for and is not done. */
export function unsettled({ defaults }: GenerationModelConfig): string[] {
  return Object.entries(NOT_RUN)
    .filter(([key, plain]) => (defaults[key] ?? plain) !== plain)
    .map(([key]) => `${key} is ${quote(defaults[key])}, which is not done`);
}
