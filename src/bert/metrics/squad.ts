/** Exact match and F1 of answers, as the official evaluation of SQuAD 1.1 and 2.0 defines them. */

export interface AnswerScores {
  /** 0 or 1. */
  readonly exact: number;
  /** Of the words in common, 0 to 1. */
  readonly f1: number;
}

/** Python's `string.punctuation`: ASCII alone. */
const PUNCTUATION = /[!-/:-@[-`{-~]/g;

/** Whole words by Python's notion of them; JavaScript's \b knows ASCII letters only. */
const ARTICLES = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;

/** Python's white space: JavaScript's, but for U+FEFF, and with U+001C to U+001F and U+0085. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const SPACE = /(?:(?!\ufeff)\s|[\u{1c}-\u{1f}\u{85}])+/u;

/** Lower case, without punctuation and articles, single spaces. */
export function normalizeAnswer(answer: string): string {
  return wordsOf(answer).join(" ");
}

/**
 * The best score over the gold answers.
 * @param golds no answer at all means that the question has none: an empty prediction is then right (SQuAD 2.0)
 */
export function answerScores(predicted: string, golds: readonly string[]): AnswerScores {
  const real = golds.filter((gold) => normalizeAnswer(gold) !== "");
  const scores = (real.length > 0 ? real : [""]).map((gold) => compare(wordsOf(predicted), wordsOf(gold)));
  return {
    exact: Math.max(...scores.map(({ exact }) => exact)),
    f1: Math.max(...scores.map(({ f1 }) => f1)),
  };
}

function compare(predicted: readonly string[], gold: readonly string[]): AnswerScores {
  const exact = predicted.join(" ") === gold.join(" ") ? 1 : 0;
  if (predicted.length === 0 || gold.length === 0) return { exact, f1: exact };
  const left = new Map<string, number>();
  for (const word of gold) left.set(word, (left.get(word) ?? 0) + 1);
  let common = 0;
  for (const word of predicted) {
    const n = left.get(word) ?? 0;
    if (n === 0) continue;
    left.set(word, n - 1);
    common++;
  }
  return { exact, f1: (2 * common) / (predicted.length + gold.length) };
}

function wordsOf(answer: string): string[] {
  const plain = answer.toLowerCase().replace(PUNCTUATION, "").replace(ARTICLES, " ");
  return plain.split(SPACE).filter((word) => word !== "");
}
