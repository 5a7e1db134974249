/** One vector out of those of a text's tokens, on the CPU: what the GPU's kernel does not offer. In float64. */

/** As in sentence-transformers' Pooling; of several the vectors stand one after another, in this order. */
export const POOLINGS = ["cls", "max", "mean", "mean_sqrt_len", "weighted_mean", "last_token"] as const;

/**
 * - `cls`: the first token's vector, which is [CLS], or the first behind a prompt that is not pooled
 * - `max`: per dimension the largest
 * - `mean`, and `mean_sqrt_len`: the sum divided by the square root of the number of tokens
 * - `weighted_mean`: the mean, the n-th token counting n times
 * - `last_token`: the last one's, which is [SEP]
 */
export type Pooling = (typeof POOLINGS)[number];

/**
 * @param rows a vector for each token
 * @param from tokens before it are left out
 * @returns one as long as each
 */
export function poolTokens(rows: readonly ArrayLike<number>[], pooling: Pooling, from = 0): Float64Array {
  if (pooling === "cls") return Float64Array.from(rows[from]!);
  if (pooling === "last_token") return Float64Array.from(rows.at(-1)!);
  const pooled = new Float64Array(rows[0]!.length).fill(pooling === "max" ? Number.NEGATIVE_INFINITY : 0);
  let weights = 0;
  for (let token = from; token < rows.length; token++) {
    const values = rows[token]!;
    const weight = pooling === "weighted_mean" ? token + 1 : 1;
    weights += weight;
    for (let i = 0; i < pooled.length; i++) {
      if (pooling === "max") pooled[i] = Math.max(pooled[i]!, values[i]!);
      else pooled[i]! += weight * values[i]!;
    }
  }
  if (pooling === "max") return pooled;
  const divisor = pooling === "mean_sqrt_len" ? Math.sqrt(weights) : weights;
  return pooled.map((sum) => sum / divisor);
}

/** To length 1; zeros stay zeros. */
export function normalized(vector: Float64Array): Float64Array {
  const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
  return length === 0 ? vector : vector.map((x) => x / length);
}
