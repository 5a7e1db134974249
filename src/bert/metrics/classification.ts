/** Accuracy, confusion matrix and F1 of single labels (scikit-learn's `accuracy_score`, `confusion_matrix`). */

import { type Averages, averagesOf, type Scores, scoresOf, type Tally } from "./f1.ts";

export interface Confusion {
  readonly labels: readonly string[];
  /** `counts[g][p]`: how often the gold label g was predicted as p. [labels, labels] */
  readonly counts: readonly (readonly number[])[];
}

export interface ClassificationReport extends Averages {
  /** Share of rows whose label is right. */
  readonly accuracy: number;
  readonly rows: number;
  /** By label, of those that occur. */
  readonly classes: ReadonlyMap<string, Scores>;
  readonly confusion: Confusion;
}

/**
 * @param labels the order of the matrix; labels that are missing from it follow, sorted
 * @throws RangeError when there are not as many predictions as gold labels, or none
 */
export function confusionMatrix(
  gold: readonly string[],
  predicted: readonly string[],
  labels: readonly string[] = [],
): Confusion {
  if (gold.length !== predicted.length || gold.length === 0) {
    throw new RangeError(
      `${gold.length} gold labels and ${predicted.length} predictions; give one for each, at least 1`,
    );
  }
  const known = new Set(labels);
  const others = [...new Set([...gold, ...predicted])].filter((label) => !known.has(label)).sort();
  const all = [...known, ...others];
  const place = new Map(all.map((label, i) => [label, i]));
  const counts = all.map(() => all.map(() => 0));
  gold.forEach((label, i) => {
    counts[place.get(label)!]![place.get(predicted[i]!)!]!++;
  });
  return { labels: all, counts };
}

/** Everything that a confusion matrix tells. Labels that do not occur at all are left out of classes and averages. */
export function classificationReport(confusion: Confusion): ClassificationReport {
  const { labels, counts } = confusion;
  const tallies = new Map<string, Tally>();
  labels.forEach((label, i) => {
    const gold = counts[i]!.reduce((total, n) => total + n, 0);
    const predicted = counts.reduce((total, row) => total + row[i]!, 0);
    if (gold + predicted > 0) tallies.set(label, { correct: counts[i]![i]!, predicted, gold });
  });
  const rows = counts.flat().reduce((total, n) => total + n, 0);
  const right = counts.reduce((total, row, i) => total + row[i]!, 0);
  return {
    accuracy: right / rows,
    rows,
    classes: new Map([...tallies].map(([label, tally]) => [label, scoresOf(tally)])),
    confusion,
    ...averagesOf(tallies.values()),
  };
}
