/**
 * A text to its tokens, before special tokens: added tokens are taken out, the rest is normalised, split into words,
 * and every word is cut into pieces. Mirrors AddedVocabulary::extract_and_normalize and PreTokenizedString::into_encoding.
 */

import { createNormalizer, type NormalizedText } from "./normalizer.ts";
import { reachOf, type Step, TEXT } from "./normalizer_steps.ts";
import { endsBetween, isGone, type KindOf } from "./pre_tokenizer.ts";
import { isWord } from "./unicode.ts";
import type { AddedToken, SpecialIds, Vocabulary } from "./vocabulary.ts";
import { buildTrie, createWordPiece, emptyTokens, push, type TextTokens, truncate } from "./wordpiece.ts";

/** A text, or its words when it is split already: an array of strings is always words, never a pair. */
export type TokenizerInput = string | readonly string[];

/** What was read of a text. */
export interface Reading {
  readonly tokens: TextTokens;
  readonly count: number;
  readonly complete: boolean;
}

export interface Sequencer {
  /** Tokens of `input`. Reading may end early once there are more than `most`, and then says that it is not complete. */
  read(input: TokenizerInput, most: number): Reading;
  /** The normalised form of a text. */
  spelt(text: string): string;
  /** Whether `a` has more tokens than `b`. Reads a few times as far as the shorter one goes, and keeps nothing. */
  isLonger(a: TokenizerInput, b: TokenizerInput): boolean;
}

export interface SequencerOptions {
  readonly vocabulary: Vocabulary;
  readonly special: SpecialIds;
  readonly normalizer: readonly Step[];
  readonly kindOf: KindOf;
  readonly continuingPrefix: string;
  readonly maxInputCharsPerWord: number;
  /** Whether special tokens in a text are words like others, not looked for. */
  readonly splitSpecialTokens: boolean;
}

/** UTF-16 units that are read at a time, at least: normalising a text takes 13 bytes for each. */
const SLICE = 1024;

export function createSequencer(options: SequencerOptions): Sequencer {
  const { pieces, added, tokens } = options.vocabulary;
  const normalize = createNormalizer(options.normalizer, options.kindOf);
  const cutWord = createWordPiece({ ...options, pieces, unk: options.special.unk });
  const [normalized, raw] = [true, false].map((kind) =>
    [...added.values()].filter((token) => token.normalized === kind),
  );
  const skipped = options.splitSpecialTokens ? options.vocabulary.special : new Set<string>();
  const findRaw = createAddedFinder(raw!, skipped);
  const spelt = (content: string): string => spell(normalize(content, 0, content.length));
  const findNormalized = createAddedFinder(normalized!, skipped, spelt);
  // What reaches over white space, or takes it in, may be found only in the whole.
  const whole =
    reachOf(options.normalizer) === TEXT ||
    !isGone(options.kindOf(0x20)) ||
    normalized!.some(({ content, lstrip, rstrip }) => lstrip || rstrip || SPACES.test(spelt(content)));
  const byIdeographs = findNormalized === undefined && spelt("\u4e00").startsWith(" ");

  /**
   * Where a slice that begins at `start` may end: before a character at which words end, and across which neither
   * canonical ordering nor an added token reaches.
   */
  const sliceEnd = (text: string, start: number, end: number): number => {
    for (let at = start + SLICE; at < end && !whole; at++) {
      const char = text[at]!;
      if (" \n\r\t".includes(char) || (byIdeographs && char >= "\u4e00" && char <= "\u9fff")) return at;
    }
    return end;
  };

  /** Appends the tokens of `input` to `into`, slice by slice, while `goOn` says so. Whether all are there. */
  const append = (input: TokenizerInput, into: TextTokens, goOn: () => boolean): boolean => {
    let word = 0;
    /** With words as input, whatever is in one has its number. */
    const split = typeof input !== "string";

    const addAdded = (id: number, start: number, end: number, surface: string): void => {
      if (surface !== tokens[id]) into.surfaces.set(into.ids.length, surface);
      push(into, id, start, end, split ? word : word++);
    };
    const addWords = (text: NormalizedText, start: number, end: number): void => {
      const { kinds } = text;
      for (let i = start; i < end; ) {
        const from = i++;
        if (isGone(kinds[from]!)) continue;
        while (i < end && !endsBetween(kinds[i - 1]!, kinds[i]!)) i++;
        cutWord(text, from, i, split ? word : word++, into);
      }
    };
    const addSlice = (given: string, start: number, end: number): void => {
      const text = normalize(given, start, end);
      if (findNormalized === undefined) {
        addWords(text, 0, text.length);
        return;
      }
      const spelling = spell(text);
      const indices = codeIndices(text);
      for (const { start: from, end: to, id } of partsOf(spelling, findNormalized)) {
        const [first, last] = [indices[from]!, indices[to]!];
        if (id === undefined) addWords(text, first, last);
        else addAdded(id, text.starts[first]!, text.ends[last - 1]!, spelling.slice(from, to));
      }
    };

    for (const given of split ? input : [input]) {
      // Rust's strings have no lone surrogates: what reaches it is U+FFFD. One unit for one, so offsets hold.
      const text = given.replace(/[\ud800-\udfff]/gu, "\ufffd");
      for (const { start, end, id } of partsOf(text, findRaw)) {
        for (let at = start; at < end; ) {
          if (!goOn()) return false;
          const stop = id === undefined ? sliceEnd(text, at, end) : end;
          if (id === undefined) addSlice(text, at, stop);
          else addAdded(id, at, stop, text.slice(at, stop));
          at = stop;
        }
      }
      if (split) word++;
    }
    return true;
  };

  /** @param keep false: they are only counted */
  const read = (input: TokenizerInput, most: number, keep: boolean = true): Reading => {
    const tokens = emptyTokens();
    let count = 0;
    const goOn = (): boolean => {
      count += tokens.ids.length;
      if (keep) count = tokens.ids.length;
      else truncate(tokens, 0);
      return count <= most;
    };
    const complete = append(input, tokens, goOn);
    goOn();
    return { tokens, count, complete };
  };

  return {
    read,
    spelt,
    isLonger(a, b) {
      for (let most = 1024; ; most *= 4) {
        const [one, other] = [read(a, most, false), read(b, most, false)];
        if (one.complete && one.count <= other.count) return false;
        if (other.complete && other.count < one.count) return true;
      }
    },
  };
}

/** An added token, or a stretch of text between them, at [start, end). */
interface Part {
  readonly start: number;
  readonly end: number;
  readonly id: number | undefined;
}

/** All of `text`, in parts that are not empty. */
function* partsOf(text: string, find: FindAdded | undefined): Generator<Part, void, void> {
  let at = 0;
  for (const match of find?.(text) ?? []) {
    if (at < match.start) yield { start: at, end: match.start, id: undefined };
    yield match;
    at = match.end;
  }
  if (at < text.length) yield { start: at, end: text.length, id: undefined };
}

/**
 * Finds added tokens, the leftmost and longest matches, one after the other; undefined where none can be. Mirrors
 * tokenizer/added_vocabulary.rs.
 */
type FindAdded = (text: string) => Iterable<Part> | undefined;

/** Characters of all added tokens: a normaliser may make them many times as long. */
const MOST_FORMS = 2_000_000;
const SPACES = /\p{White_Space}/u;

/**
 * `spelt` gives the form in which a token is looked for; an empty form never matches. Undefined when there is nothing to
 * look for, so that the caller can skip the search.
 * @param skipped contents of tokens that are passed over where they are found
 */
function createAddedFinder(
  tokens: readonly AddedToken[],
  skipped: ReadonlySet<string>,
  spelt: (content: string) => string = (content) => content,
): FindAdded | undefined {
  const forms = new Map<string, AddedToken>();
  let characters = 0;
  // Special ones first: of two tokens of one form, the first wins.
  for (const token of [...tokens.filter((t) => t.special), ...tokens.filter((t) => !t.special)]) {
    const form = spelt(token.content);
    characters += form.length;
    if (characters > MOST_FORMS)
      throw new RangeError(`added tokens: more than ${MOST_FORMS} characters once normalized`);
    if (form !== "" && !forms.has(form)) forms.set(form, token);
  }
  if (forms.size === 0) return undefined;
  const listed = [...forms.values()];
  const trie = buildTrie(new Map([...forms.keys()].map((form, i) => [form, i])));
  const mayStart = new Uint8Array(0x10000); // by first UTF-16 unit: most texts have no added token
  for (const form of forms.keys()) mayStart[form.charCodeAt(0)] = 1;

  function* matchesFrom(text: string, first: number): Generator<Part, void, void> {
    let free = 0; // up to here the text is taken
    for (let i = first; i < text.length; i++) {
      if (mayStart[text.charCodeAt(i)] === 0) continue;
      let found = -1;
      let end = i;
      for (let node = 0, next = i; node >= 0 && next < text.length; ) {
        const code = text.codePointAt(next)!;
        next += code > 0xffff ? 2 : 1;
        node = trie.step(node, code);
        if (node < 0 || trie.idAt(node) < 0) continue;
        found = trie.idAt(node);
        end = next;
      }
      if (found < 0) continue;
      const token = listed[found]!;
      let start = i;
      i = end - 1; // matches do not overlap, whatever becomes of this one
      if (skipped.has(token.content)) continue;
      if (end <= free) continue; // white space that the one before has taken
      const before = Array.from(text.slice(Math.max(0, start - 2), start)).at(-1);
      if (token.singleWord && [before, text.slice(end, end + 2)].some((c) => c && isWord(c.codePointAt(0)!))) continue;
      if (token.lstrip) while (start > free && SPACES.test(text[start - 1]!)) start--;
      if (token.rstrip) while (end < text.length && SPACES.test(text[end]!)) end++;
      yield { start, end, id: token.id };
      free = end;
    }
  }
  return (text) => {
    for (let i = 0; i < text.length; i++) if (mayStart[text.charCodeAt(i)] === 1) return matchesFrom(text, i);
    return undefined;
  };
}

function spell({ codes, length }: NormalizedText): string {
  let text = "";
  for (let i = 0; i < length; i++) text += String.fromCodePoint(codes[i]!);
  return text;
}

/** For each UTF-16 unit of the spelt text, and its end, the index of the code point. */
function codeIndices({ codes, length }: NormalizedText): number[] {
  const indices: number[] = [];
  for (let i = 0; i < length; i++) {
    indices.push(i);
    if (codes[i]! > 0xffff) indices.push(i);
  }
  indices.push(length);
  return indices;
}
