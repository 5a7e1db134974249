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
