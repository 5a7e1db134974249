/** Named entities from tags, and their precision, recall and F1, as seqeval 1.2 and conlleval define them. */

import { type Averages, averagesOf, type Scores, scoresOf, type Tally } from "./f1.ts";

/** Words `start` to `end`, the last one included, of one sentence. */
export interface TagSpan {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

/**
 * - `lenient`: conlleval's reading, which is seqeval's default: an I that follows nothing of its type begins an entity.
 *   Takes IOB1, IOB2 and IOBES alike.
 * - `IOB2`: an entity is B I*, of one type; other Is are nothing.
 * - `IOBES`: an entity is S, or B I* E; what is left open is nothing. BILOU means the same, with L for E and U for S.
 */
export type TagScheme = "lenient" | "IOB2" | "IOBES";

export interface EntityReport extends Averages {
  /** By type, in alphabetical order. */
  readonly classes: ReadonlyMap<string, Scores>;
  readonly sentences: number;
  /** Share of words whose tag is right. */
  readonly accuracy: number;
}

/** The entities of one sentence. @throws RangeError for a tag that no scheme has */
export function entitiesOf(tags: readonly string[], scheme: TagScheme = "lenient"): TagSpan[] {
  const entities: TagSpan[] = [];
  let open: { type: string; start: number } | undefined;
  // one more O, so that what is open at the end is closed
  [...tags, "O"].forEach((tag, i) => {
    const { prefix, type } = split(tag, scheme);
    const continues = open !== undefined && type === open.type && (prefix === "I" || prefix === "E");
    if (open && !continues) {
      if (scheme !== "IOBES") entities.push({ ...open, end: i - 1 });
      open = undefined;
    }
    const begins = prefix === "B" || prefix === "S" || (scheme === "lenient" && prefix !== "O" && !continues);
    if (begins) open = { type, start: i };
    if (open && (prefix === "S" || prefix === "E")) {
      entities.push({ ...open, end: i });
      open = undefined;
    }
  });
  return entities;
}

/** `IOBES` where a tag has E, S, L or U, else `IOB2`: for a strict reading. */
export function strictScheme(sentences: readonly (readonly string[])[]): TagScheme {
  return sentences.some((tags) => tags.some((tag) => /^[ESLU](-|$)/.test(tag))) ? "IOBES" : "IOB2";
}

/**
 * An entity is right when type, start and end are.
 * @throws RangeError when sentences or their lengths differ
 */
export function entityReport(
  gold: readonly (readonly string[])[],
  predicted: readonly (readonly string[])[],
  scheme: TagScheme = "lenient",
): EntityReport {
  if (gold.length !== predicted.length || gold.length === 0) {
    throw new RangeError(
      `${gold.length} gold sentences and ${predicted.length} predicted; give one for each, at least 1`,
    );
  }
  const tallies = new Map<string, { correct: number; predicted: number; gold: number }>();
  const tallyOf = (type: string): { correct: number; predicted: number; gold: number } => {
    const tally = tallies.get(type) ?? { correct: 0, predicted: 0, gold: 0 };
    tallies.set(type, tally);
    return tally;
  };
  let words = 0;
  let right = 0;
  gold.forEach((tags, i) => {
    const guess = predicted[i]!;
    if (guess.length !== tags.length) {
      throw new RangeError(`sentence ${i + 1} has ${tags.length} gold tags and ${guess.length} predicted`);
    }
    words += tags.length;
    right += tags.filter((tag, word) => tag === guess[word]).length;
    const key = ({ type, start, end }: TagSpan): string => `${start} ${end} ${type}`;
    const entities = entitiesOf(tags, scheme);
    const known = new Set(entities.map(key));
    for (const { type } of entities) tallyOf(type).gold++;
    for (const entity of entitiesOf(guess, scheme)) {
      tallyOf(entity.type).predicted++;
      if (known.has(key(entity))) tallyOf(entity.type).correct++;
    }
  });
  const sorted: [string, Tally][] = [...tallies].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    classes: new Map(sorted.map(([type, tally]) => [type, scoresOf(tally)])),
    sentences: gold.length,
    accuracy: words === 0 ? 0 : right / words,
    ...averagesOf(tallies.values()),
  };
}

type Prefix = "B" | "I" | "O" | "E" | "S";

/** `B-creative-work` is B and creative-work; a bare B has the type `_`, as in seqeval. */
function split(tag: string, scheme: TagScheme): { prefix: Prefix; type: string } {
  const match = /^(?:(O)$|([BIESLU])(?:-(.*))?$)/su.exec(tag);
  if (!match) throw new RangeError(`tag ${JSON.stringify(tag)} is none of O, B-type, I-type, E-type, S-type`);
  if (match[1]) return { prefix: "O", type: "_" };
  const letter = match[2] === "L" ? "E" : match[2] === "U" ? "S" : (match[2] as Prefix);
  if (scheme === "IOB2" && (letter === "E" || letter === "S")) {
    throw new RangeError(`tag ${JSON.stringify(tag)} is none of IOB2, which has B, I and O; read it as IOBES`);
  }
  return { prefix: letter, type: match[3] || "_" };
}
