/**
 * The losses that transformers reports beside the logits when labels are given, computed on the CPU in float64. Means
 * are over labelled entries; -100 marks an entry that is not.
 */

/** Mean cross-entropy of logits [rows, classes] against class numbers; NaN when no row is labelled, as in PyTorch. */
export function crossEntropy(logits: ArrayLike<number>, classes: number, labels: ArrayLike<number>): number {
  let sum = 0;
  let count = 0;
  for (let row = 0; row < labels.length; row++) {
    const label = labels[row]!;
    if (label === -100) continue;
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new RangeError(`label ${label} in row ${row}, there are classes 0 to ${classes - 1} (and -100 for none)`);
    }
    let largest = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < classes; c++) largest = Math.max(largest, logits[row * classes + c]!);
    let total = 0;
    for (let c = 0; c < classes; c++) total += Math.exp(logits[row * classes + c]! - largest);
    sum += largest + Math.log(total) - logits[row * classes + label]!;
    count++;
  }
  return sum / count;
}

/** Mean binary cross-entropy of sigmoid(logits) against targets of the same length (`BCEWithLogitsLoss`). */
export function binaryCrossEntropy(logits: ArrayLike<number>, targets: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < targets.length; i++) {
    const x = logits[i]!;
    sum += Math.max(x, 0) - x * targets[i]! + Math.log1p(Math.exp(-Math.abs(x))); // no exp of a large number
  }
  return sum / targets.length;
}

/** Mean squared error. */
export function meanSquaredError(values: ArrayLike<number>, targets: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < targets.length; i++) sum += (values[i]! - targets[i]!) ** 2;
  return sum / targets.length;
}
