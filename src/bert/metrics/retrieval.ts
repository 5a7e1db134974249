/** How high texts that belong to a query stand among all texts, as sentence-transformers' InformationRetrievalEvaluator. */

/** Of vectors: one of a query, and of the texts that are searched. */
type Vector = ArrayLike<number>;

export interface Retrieval {
  readonly queries: readonly Vector[];
  readonly texts: readonly Vector[];
  /** Of each query, which of the texts belong to it: at least one. */
  readonly relevant: readonly (readonly number[])[];
}

const DEPTH = 10;
const CUTS = [1, 5, 10] as const;

/** What `retrievalFigures` gives, the first one first. */
export const RETRIEVAL_FIGURES: readonly string[] = ["mrr@10", ...CUTS.map((k) => `recall@${k}`)];

/**
 * `mrr@10`: the mean of 1 over the place of the first text that belongs to the query, 0 beyond the tenth; `recall@k`: the
 * mean share of the texts that belong to a query which are among the first k. By dot products, of equals the first one first.
 * @throws RangeError without queries
 */
export function retrievalFigures({ queries, texts, relevant }: Retrieval): Record<string, number> {
  if (queries.length === 0) throw new RangeError("there are no queries, at least 1 is needed");
  const sums = new Map(RETRIEVAL_FIGURES.map((name) => [name, 0]));
  const add = (name: string, value: number): unknown => sums.set(name, sums.get(name)! + value);
  for (const [q, query] of queries.entries()) {
    const wanted = new Set(relevant[q]);
    const found = nearest(query, texts, DEPTH).map((text) => wanted.has(text));
    const first = found.indexOf(true);
    if (first >= 0) add("mrr@10", 1 / (first + 1));
    for (const k of CUTS) add(`recall@${k}`, found.slice(0, k).filter(Boolean).length / wanted.size);
  }
  return Object.fromEntries([...sums].map(([name, sum]) => [name, sum / queries.length]));
}

/** @returns which texts, the nearest first */
function nearest(query: Vector, texts: readonly Vector[], count: number): number[] {
  const best: { readonly at: number; readonly score: number }[] = [];
  for (const [at, text] of texts.entries()) {
    let score = 0;
    for (let i = 0; i < query.length; i++) score += query[i]! * text[i]!;
    if (best.length === count && !(score > best.at(-1)!.score)) continue;
    let place = best.length;
    while (place > 0 && score > best[place - 1]!.score) place--;
    best.splice(place, 0, { at, score });
    if (best.length > count) best.pop();
  }
  return best.map(({ at }) => at);
}

export interface Pairs {
  /** Distinct texts that are asked, and that are searched. */
  readonly queries: readonly string[];
  readonly texts: readonly string[];
  readonly relevant: readonly (readonly number[])[];
}

/**
 * Rows of an anchor, its positive and any negatives as a search: each anchor asks once, every other text is there once.
 */
export function pairsOf(rows: Iterable<readonly [anchor: string, positive: string, ...negatives: string[]]>): Pairs {
  const asked = new Map<string, Set<number>>();
  const places = new Map<string, number>();
  const placeOf = (text: string): number => {
    const known = places.get(text) ?? places.size;
    places.set(text, known);
    return known;
  };
  for (const [anchor, positive, ...negatives] of rows) {
    const own = asked.get(anchor) ?? new Set();
    asked.set(anchor, own.add(placeOf(positive)));
    for (const negative of negatives) placeOf(negative);
  }
  return {
    queries: [...asked.keys()],
    texts: [...places.keys()],
    relevant: [...asked.values()].map((own) => [...own]),
  };
}
