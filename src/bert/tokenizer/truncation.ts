/**
 * Truncation: which tokens of a text, or of a pair, fit, and the overlapping windows over the rest. Mirrors
 * tokenizers/src/utils/truncation.rs and Encoding::truncate and merge of tokenizer/encoding.rs.
 */

/**
 * What gives way when a pair is too long: the longer text first, then both evenly; or only one of them. A single text is
 * the first. Where both give way and the room is odd, the text with more tokens keeps one more, of equal ones the second, as
 * in tokenizers up to 0.22; 0.23 compares the texts as far as `maxLength` tokens and the word they end in, and often gives
 * the odd token to the second where the first is longer.
 */
export type TruncationStrategy = "longest_first" | "only_first" | "only_second";

/** Of all windows together: half a gigabyte. Windows of a pair are multiplied, so that small texts could take any memory. */
const MOST_WINDOWS = 65_536;
const MOST_TOKENS = 4_194_304;

/** Tokens [start, end) of one text. */
export type Window = readonly [start: number, end: number];

/** The windows of a text, or of a pair, that go together in one encoding. */
export type Cut = readonly Window[];

export interface TruncationOptions {
  readonly strategy: TruncationStrategy;
  /** Tokens in all, special ones included. */
  readonly maxLength: number;
  /** Given where a text was not read to its end: lengths beyond `maxLength` may be greater, this tells whose is. */
  readonly isFirstLonger?: (() => boolean) | undefined;
}

/**
 * The tokens of each text that stay.
 * @param lengths tokens of the text, or of the pair; where one is beyond `maxLength`, how far does not matter
 * @param added special tokens that the encoding will get
 * @throws RangeError when the strategy cannot get there
 */
export function keptLengths(lengths: readonly number[], added: number, options: TruncationOptions): readonly number[] {
  const { strategy, maxLength, isFirstLonger = () => lengths[0]! > lengths[1]! } = options;
  const room = maxLength - added;
  if (room < 0) {
    throw new RangeError(`maxLength ${maxLength} does not even hold the ${added} special tokens; raise maxLength`);
  }
  const total = lengths.reduce((sum, length) => sum + length, 0);
  if (total <= room) return lengths;
  if (room === 0) return lengths.map(() => 0);
  if (strategy === "only_second" && lengths.length < 2) {
    throw new RangeError('truncation "only_second" needs a pair, one text was given; use "only_first"');
  }
  if (strategy !== "longest_first") {
    const target = strategy === "only_first" ? 0 : 1;
    const kept = room - (total - lengths[target]!);
    if (kept <= 0) {
      const the = options.isFirstLonger ? "at least" : "the";
      throw new RangeError(
        `truncation "${strategy}" to maxLength ${maxLength}: ${added} special tokens and ${the} ` +
          `${total - lengths[target]!} tokens of the other text leave no room; use "longest_first" or raise maxLength`,
      );
    }
    return lengths.map((length, i) => (i === target ? kept : length));
  }
  if (lengths.length < 2) return [room];
  const shorter = Math.min(lengths[0]!, lengths[1]!);
  // The shorter stays whole while it takes at most half; else both get half, the longer the odd token.
  if (2 * shorter <= room) return lengths[0]! > lengths[1]! ? [room - shorter, shorter] : [shorter, room - shorter];
  const half = Math.floor(room / 2);
  return room % 2 === 0 || isFirstLonger() ? [room - half, half] : [half, room - half];
}

/**
 * The first cut and, when asked for, those of the overflow, in the original's order: with two texts cut, every window of
 * the first with every one of the second. Two windows on one text share `stride` tokens.
 * @throws RangeError when the windows would not advance, or are more than 65,536 or more than 4,194,304 tokens
 */
export function cutsOf(
  lengths: readonly number[],
  kept: readonly number[],
  stride: number,
  overflow: boolean,
): readonly [first: Cut, ...rest: Cut[]] {
  const first: Cut = kept.map((length) => [0, length]);
  if (!overflow) return [first];
  const rows = lengths.map((length, i) => windows(length, kept[i]!, stride));
  const count = rows.reduce((product, row) => product * row.length, 1);
  const tokens = count * kept.reduce((sum, length) => sum + length, 0);
  if (count > MOST_WINDOWS || tokens > MOST_TOKENS) {
    throw new RangeError(
      `${count} overflow windows of ${tokens} tokens, at most ${MOST_WINDOWS} of ${MOST_TOKENS}; lower stride`,
    );
  }
  if (rows.length < 2) return [first, ...rows[0]!.slice(1).map((window): Cut => [window])];
  const [a, b] = rows as [Window[], Window[]];
  const crossed = a.slice(1).flatMap((x) => b.map((y): Cut => [x, y]));
  return [first, ...crossed, ...b.slice(1).map((y): Cut => [a[0]!, y])];
}

function windows(length: number, size: number, stride: number): Window[] {
  if (size >= length) return [[0, length]];
  if (stride >= size) {
    throw new RangeError(`stride ${stride} must be less than the ${size} tokens that a window holds of the text`);
  }
  const found: Window[] = [];
  for (let start = 0; ; start += size - stride) {
    found.push([start, Math.min(start + size, length)]);
    if (start + size >= length) return found;
  }
}
