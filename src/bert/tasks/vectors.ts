/** How alike vectors are, in float64. */

/** As sentence-transformers has them: more is closer, so distances are negative. */
export const SIMILARITIES: Readonly<Record<SimilarityName, (a: Vector, b: Vector) => number>> = {
  cosine,
  dot,
  euclidean,
  manhattan,
};

export type SimilarityName = "cosine" | "dot" | "euclidean" | "manhattan";

type Vector = ArrayLike<number>;

/** 0 where one of them is zero. */
export function cosine(a: Vector, b: Vector): number {
  const lengths = Math.sqrt(dot(a, a)) * Math.sqrt(dot(b, b));
  return lengths === 0 ? 0 : dot(a, b) / lengths;
}

export function dot(a: Vector, b: Vector): number {
  return sum(a, b, (x, y) => x * y);
}

function euclidean(a: Vector, b: Vector): number {
  return -Math.sqrt(sum(a, b, (x, y) => (x - y) ** 2));
}

function manhattan(a: Vector, b: Vector): number {
  return -sum(a, b, (x, y) => Math.abs(x - y));
}

function sum(a: Vector, b: Vector, term: (x: number, y: number) => number): number {
  if (a.length !== b.length)
    throw new RangeError(`vectors of ${a.length} and ${b.length} dimensions cannot be compared`);
  let total = 0;
  for (let i = 0; i < a.length; i++) total += term(a[i]!, b[i]!);
  return total;
}

/**
 * ColBERT's score: for each vector of the query the greatest dot product with one of the document's, summed.
 * @param query [tokens, dim]
 * @param document [tokens, dim]
 * @param kept the document's tokens that are compared; default all
 */
export function maxSim(query: Float32Array, document: Float32Array, dim: number, kept?: readonly number[]): number {
  const row = (vectors: Float32Array, i: number): Float32Array => vectors.subarray(i * dim, (i + 1) * dim);
  const tokens = kept ?? Array.from({ length: document.length / dim }, (_, i) => i);
  let total = 0;
  for (let i = 0; i < query.length / dim; i++) {
    const own = row(query, i);
    // a document none of whose tokens are compared is as far off as what is unrelated
    total += tokens.length && tokens.reduce((most, j) => Math.max(most, dot(own, row(document, j))), -Infinity);
  }
  return total;
}
