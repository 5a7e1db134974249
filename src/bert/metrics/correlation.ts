/** Correlation of two lists of numbers, for semantic textual similarity. */

/**
 * Pearson's r, -1 to 1; NaN where a list is constant, as in SciPy.
 * @throws RangeError when lengths differ or are below 2
 */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>): number {
  if (x.length !== y.length || x.length < 2) {
    throw new RangeError(`lists of ${x.length} and ${y.length} numbers; give two of the same length, at least 2`);
  }
  const dx = deviations(x);
  const dy = deviations(y);
  let product = 0;
  for (let i = 0; i < dx.length; i++) product += dx[i]! * dy[i]!;
  const norms = norm(dx) * norm(dy);
  // rounding may lead a perfect correlation past 1
  return norms === 0 ? Number.NaN : Math.max(-1, Math.min(1, product / norms));
}

/** Spearman's rho: Pearson's r of the ranks, where equals share the mean of theirs. */
export function spearman(x: ArrayLike<number>, y: ArrayLike<number>): number {
  return pearson(ranks(x), ranks(y));
}

/** Ranks from 1; equal values share the mean of the ranks they take up. */
export function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from(values, (_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const result = new Float64Array(values.length);
  for (let begin = 0, end = 0; begin < order.length; begin = end) {
    while (end < order.length && values[order[end]!] === values[order[begin]!]) end++;
    for (let i = begin; i < end; i++) result[order[i]!] = (begin + 1 + end) / 2;
  }
  return result;
}

function deviations(values: ArrayLike<number>): Float64Array {
  const list = Float64Array.from(values);
  const mean = list.reduce((total, value) => total + value, 0) / list.length;
  return list.map((value) => value - mean);
}

const norm = (values: Float64Array): number => Math.sqrt(values.reduce((total, value) => total + value * value, 0));
