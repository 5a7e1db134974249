/** From logits to scores, in float64. */

export type LabelFunction = "softmax" | "sigmoid" | "none";

export function softmaxOf(logits: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(logits);
  const largest = values.reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY);
  const powers = values.map((x) => Math.exp(x - largest));
  const sum = powers.reduce((total, x) => total + x, 0);
  return powers.map((x) => x / sum);
}

export function sigmoidOf(logits: ArrayLike<number>): Float64Array {
  return Float64Array.from(logits, (x) => 1 / (1 + Math.exp(-x)));
}

export function scoresOf(logits: ArrayLike<number>, apply: LabelFunction): Float64Array {
  if (apply === "softmax") return softmaxOf(logits);
  return apply === "sigmoid" ? sigmoidOf(logits) : Float64Array.from(logits);
}

/** Where the largest value stands; the first of equals. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
