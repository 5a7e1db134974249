/** Fixtures of feature extraction: the vectors of tokens, and sentence embeddings pooled from them. */

import { type Pretrained, pipeline, type ResultTensor } from "../../src/node/index.ts";
import { exactFinding, type Finding, numberFinding } from "./fixture.ts";
import { type ExpectedTensor, largestError } from "./tensors.ts";

export interface FeatureCase {
  readonly name: string;
  readonly inputs: string | readonly string[];
  readonly score_tolerance: number;
  /** Per text [1, tokens, hidden]. */
  readonly output: readonly ExpectedTensor[];
  readonly sentence_embeddings?: readonly Readonly<Record<keyof typeof POOLED, readonly number[]>>[];
}

const POOLED = {
  mean_pooled: { pooling: "mean", normalize: false },
  mean_pooled_l2: { pooling: "mean", normalize: true },
  cls_pooled: { pooling: "cls", normalize: false },
} as const;

export async function* featureFindings(pretrained: Pretrained, testCase: FeatureCase): AsyncGenerator<Finding> {
  const { name, inputs, output, score_tolerance: tolerance, sentence_embeddings: embeddings = [] } = testCase;
  const extract = await pipeline("feature-extraction", pretrained);
  const texts = [inputs].flat();
  const tensors: ResultTensor[] = await extract(texts);
  const shapes = [tensors.map(({ dims }) => dims), output.map(({ shape }) => shape)].map((list) => list.join(" | "));
  if (shapes[0] !== shapes[1]) yield exactFinding(name, `the shapes are ${shapes[0]}, ${shapes[1]} expected`);
  else {
    const errors = tensors.map(({ data }, i) => largestError(data, output[i]!));
    yield numberFinding(name, Math.max(...errors), tolerance);
  }
  for (const [key, options] of Object.entries(POOLED)) {
    const rows = (await extract(texts, options)).tolist() as number[][];
    const errors = embeddings.map((expected, i) => {
      const data = expected[key as keyof typeof POOLED];
      return largestError(rows[i]!, { shape: [data.length], data });
    });
    if (errors.length > 0) yield numberFinding(`${name} ${key}`, Math.max(...errors), tolerance);
  }
}
