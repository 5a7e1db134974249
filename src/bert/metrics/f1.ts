/** Precision, recall and F1 of classes, and their averages (scikit-learn's `precision_recall_fscore_support`). */

/** How often a class was named. */
export interface Tally {
  /** Named rightly. */
  readonly correct: number;
  readonly predicted: number;
  readonly gold: number;
}

/** 0 where nothing was there to divide by, as in scikit-learn. */
export interface Scores {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  /** How often the class is in the gold data. */
  readonly support: number;
}

export interface Averages {
  /** All classes counted as one. */
  readonly micro: Scores;
  /** The mean over classes, each weighing the same. */
  readonly macro: Scores;
  /** The mean over classes, each weighing what its support is. */
  readonly weighted: Scores;
}

export function scoresOf({ correct, predicted, gold }: Tally): Scores {
  return {
    precision: ratio(correct, predicted),
    recall: ratio(correct, gold),
    // 2pr / (p + r) with the divisions cancelled, so that it is exact where the counts are
    f1: ratio(2 * correct, predicted + gold),
    support: gold,
  };
}

/** Averages over the classes given; leave out those that are in neither the gold data nor the predictions. */
export function averagesOf(tallies: Iterable<Tally>): Averages {
  const all = [...tallies];
  const scores = all.map(scoresOf);
  const support = sum(scores.map(({ support }) => support));
  const mean = (weights: readonly number[]): Scores => {
    const total = sum(weights);
    const of = (name: "precision" | "recall" | "f1"): number =>
      ratio(sum(scores.map((score, i) => score[name] * weights[i]!)), total);
    return { precision: of("precision"), recall: of("recall"), f1: of("f1"), support };
  };
  return {
    micro: scoresOf({
      correct: sum(all.map(({ correct }) => correct)),
      predicted: sum(all.map(({ predicted }) => predicted)),
      gold: support,
    }),
    macro: mean(scores.map(() => 1)),
    weighted: mean(scores.map(({ support }) => support)),
  };
}

const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
