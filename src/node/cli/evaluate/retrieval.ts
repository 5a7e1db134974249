/** How high texts stand that belong to a query, by a model's vectors. */

import { pairsOf, retrievalFigures } from "../../../bert/metrics/retrieval.ts";
import { createEmbedder } from "../../../bert/tasks/sentence_embedding.ts";
import { openInput, textIn } from "../file_rows.ts";
import { type Evaluation, type EvaluationOptions, evaluation } from "./evaluation.ts";

interface Pair {
  readonly text: string;
  readonly pair: string;
}

type Vectors = readonly [text: Float32Array, pair: Float32Array];

/** All second texts are searched for each first one. */
export async function evaluateRetrieval(options: EvaluationOptions): Promise<Evaluation> {
  const { column = "anchor", pairColumn = "positive" } = options;
  const table = await openInput(options, [column, pairColumn]);
  return evaluation<Pair, Vectors>(table, (pretrained, settings) => {
    const { wanted, encode, vector } = createEmbedder(pretrained, { ...settings, normalize: true });
    const rows: Pair[] = [];
    const vectors = new Map<string, Float32Array>();
    return {
      plan: {
        wanted,
        prepare: ({ text, pair }) => ({
          sequences: [encode(text), encode(pair)],
          finish: ([one, other]): Vectors => [vector(one!), vector(other!)],
        }),
      },
      inputOf: (values) => ({ text: textIn(values, column), pair: textIn(values, pairColumn) }),
      add(row, [one, other]) {
        rows.push(row);
        vectors.set(row.text, one);
        vectors.set(row.pair, other);
      },
      report() {
        const { queries, texts, relevant } = pairsOf(rows.map(({ text, pair }) => [text, pair]));
        const of = (list: readonly string[]): Float32Array[] => list.map((text) => vectors.get(text)!);
        const figures = retrievalFigures({ queries: of(queries), texts: of(texts), relevant });
        return { rows: rows.length, figures: { ...figures, texts: texts.length } };
      },
    };
  });
}
