/** What the page of a run of training draws, as plain data. */

export interface Line {
  readonly name: string;
  /** Of each point, ascending. */
  readonly steps: readonly number[];
  readonly values: readonly number[];
  /** Each point is seen, not their line alone: there are few. */
  readonly dots: boolean;
}

/** Lines over the steps of a run. */
export interface Curves {
  readonly kind: "curves";
  /** What the vertical axis counts. */
  readonly label: string;
  readonly lines: readonly Line[];
  /** How it is scaled: from 0, to what there is, or by its logarithm where it spans a factor of 30, else as is said. */
  readonly scale: "zero" | "fit" | "zero or log" | "fit or log";
  /** The step of the best evaluation. */
  readonly best?: number | undefined;
}

/** How often each label was taken for each. */
export interface Matrix {
  readonly kind: "matrix";
  readonly labels: readonly string[];
  /** `counts[g][p]`: rows with the gold label g that were predicted as p. */
  readonly counts: readonly (readonly number[])[];
}

export type TrainingFigure = Curves | Matrix;
