/** A WordPiece vocabulary made of texts, with the files of its tokenizer. */

import { MOST_TOKENS } from "../../bert/tokenizer/vocabulary.ts";
import { quote } from "../../files/faults.ts";
import { type Names, requireKnown, requireList } from "../../files/options.ts";
import { chooseAlphabet, continuations, spellWords } from "./alphabet.ts";
import { SPECIAL, tokenizerFiles } from "./files.ts";
import { mergePairs } from "./merges.ts";
import { countWords } from "./words.ts";

/** The names, and but for `specialTokens` and `maxLength` the defaults, of BertWordPieceTokenizer.train in tokenizers. */
export interface WordPieceOptions {
  /** Tokens in all, at most. Default 30522. */
  readonly vocabSize?: number | undefined;
  /** How often a pair of pieces is there at least that becomes a piece. Default 2. */
  readonly minFrequency?: number | undefined;
  /** Characters that the vocabulary has, at most: the most frequent. Words with others become [UNK]. Default 1000. */
  readonly limitAlphabet?: number | undefined;
  /** Tokens by themselves, which have the first ids, in this order. Default [PAD], [UNK], [CLS], [SEP], [MASK]. */
  readonly specialTokens?: readonly string[] | undefined;
  /** Default true. */
  readonly lowercase?: boolean | undefined;
  /** Default: as `lowercase`. */
  readonly stripAccents?: boolean | undefined;
  /** Tokens that the model will take, for tokenizer_config.json. Default 512. */
  readonly maxLength?: number | undefined;
  /** Told now and then, while texts are read and while pieces are made: how many tokens there are. */
  readonly onProgress?: ((progress: WordPieceProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WordPieceProgress {
  readonly texts: number;
  /** 0 while texts are read. */
  readonly tokens: number;
}

export interface TrainedWordPiece {
  /** By id: special tokens, characters, those that go on with words (`##a`), then pieces in the order they were made. */
  readonly vocabulary: readonly string[];
  /** By name: vocab.txt, tokenizer.json, tokenizer_config.json, as `loadTokenizer` and transformers read them. */
  readonly files: Readonly<Record<string, string>>;
  readonly texts: number;
  readonly words: number;
  readonly distinctWords: number;
  /** Words of more than 1000 characters, which are left out. */
  readonly longWords: number;
  readonly characters: number;
  /** Characters that `limitAlphabet` has left out. */
  readonly leftOut: number;
}

const KNOWN: Names<WordPieceOptions> = {
  ...{ vocabSize: 1, minFrequency: 1, limitAlphabet: 1, specialTokens: 1, lowercase: 1, stripAccents: 1, maxLength: 1 },
  ...{ onProgress: 1, signal: 1 },
};

const LONGEST_SPECIAL = 200;

/**
 * Learns a vocabulary as Hugging Face's WordPieceTrainer does: beginning with characters, the pair of pieces that is there
 * most often becomes a piece, again and again. Of pairs that are there equally often it takes the one whose first piece
 * has the lower id, then whose second one has; so the vocabulary is the same for the same texts in any order. (Theirs
 * numbers the characters inside words in the order of a hash map.) Memory grows with the number of different words.
 * @throws RangeError for texts without a word, a number out of range, special tokens that a BERT cannot do without, and,
 * before pieces are made, where the characters alone need more than `vocabSize`
 * @throws the signal's reason
 */
export async function trainWordPiece(
  texts: AsyncIterable<string> | Iterable<string>,
  options: WordPieceOptions = {},
): Promise<TrainedWordPiece> {
  requireList("texts", texts);
  requireKnown("trainWordPiece", options, KNOWN);
  const { lowercase = true, stripAccents, specialTokens = SPECIAL, onProgress, signal } = options;
  const vocabSize = whole("vocabSize", options.vocabSize ?? 30522, 1, MOST_TOKENS);
  const minFrequency = whole("minFrequency", options.minFrequency ?? 2, 0);
  const limitAlphabet = whole("limitAlphabet", options.limitAlphabet ?? 1000, 1);
  const maxLength = whole("maxLength", options.maxLength ?? 512, 1, 0x7fffffff);
  requireSpecialTokens(specialTokens);
  const giveWay = turns(signal);

  const words = countWords({ lowercase, stripAccents });
  let read = 0;
  for await (const text of texts) {
    if (typeof text !== "string") throw new TypeError(`texts: number ${read} is of type ${typeof text}; give a string`);
    words.add(text);
    read++;
    if (giveWay.due()) {
      onProgress?.({ texts: read, tokens: 0 });
      await giveWay();
    }
  }
  const { counts, total, tooLong } = words.end();
  if (counts.size === 0) throw new RangeError(`there is no word in ${read} texts: nothing to learn from`);

  const { characters, found } = chooseAlphabet(counts, limitAlphabet);
  const inside = continuations(counts.keys(), characters);
  const vocabulary = [...new Set([...specialTokens, ...characters, ...inside])];
  if (vocabulary.length > vocabSize) {
    throw new RangeError(
      `vocabSize is ${vocabSize}: ${specialTokens.length} special tokens, ${characters.length} characters and ` +
        `${inside.length} of them inside words need ${vocabulary.length}; give as much, or a lower limitAlphabet`,
    );
  }
  const merges = mergePairs(spellWords(counts, vocabulary), vocabulary, { vocabSize, minFrequency });
  for (const _ of merges) {
    if (!giveWay.due()) continue;
    onProgress?.({ texts: read, tokens: vocabulary.length });
    await giveWay();
  }
  return {
    vocabulary,
    files: tokenizerFiles(vocabulary, { specialTokens, lowercase, stripAccents, maxLength }),
    texts: read,
    words: total,
    distinctWords: counts.size,
    longWords: tooLong,
    characters: characters.length,
    leftOut: found - characters.length,
  };
}

function whole(name: string, value: number, least: number, most: number = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
  throw new RangeError(`${name} is ${quote(value)}; it must be a whole number ${range}`);
}

function requireSpecialTokens(tokens: readonly string[]): void {
  requireList("specialTokens", tokens);
  const missing = SPECIAL.filter((token) => !tokens.includes(token));
  if (missing.length > 0) {
    throw new RangeError(`specialTokens lack ${missing.join(", ")}; a BERT needs ${SPECIAL.join(", ")}`);
  }
  const twice = tokens.find((token, i) => tokens.indexOf(token) !== i);
  if (twice !== undefined) throw new RangeError(`specialTokens have ${quote(twice)} twice`);
  // vocab.txt has one a line, without the white space at its end
  const bad = tokens.find(
    (token) => token.trim() !== token || /^$|[\r\n]/.test(token) || token.length > LONGEST_SPECIAL,
  );
  if (bad === undefined) return;
  throw new RangeError(
    `specialTokens have ${quote(bad)}; each must be of 1 to ${LONGEST_SPECIAL} characters on one line, without white space at its ends`,
  );
}

/** Milliseconds of work without a pause. */
const TURN = 50;

/** Lets others have their turn when it is due, so that a page stays alive and a signal is heard. */
function turns(signal: AbortSignal | undefined): { due(): boolean } & (() => Promise<void>) {
  signal?.throwIfAborted();
  let last = performance.now();
  const giveWay = async (): Promise<void> => {
    await new Promise((resolve) => void setTimeout(resolve));
    signal?.throwIfAborted();
    last = performance.now();
  };
  return Object.assign(giveWay, { due: () => performance.now() - last > TURN });
}
