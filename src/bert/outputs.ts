/** What can be asked of a model, and what comes back. */

import type { PoolMode } from "../runtime/ops.ts";
import type { OutputData } from "../runtime/program.ts";

/** What to compute. Only what is asked for is computed and read back. */
export interface Wanted {
  /** [tokens, hidden] */
  readonly lastHiddenState?: boolean | undefined;
  /** The embeddings' output and that of each layer, each [tokens, hidden]. */
  readonly hiddenStates?: boolean | undefined;
  /** Per layer, for each sequence in turn [heads, length, length]. */
  readonly attentions?: boolean | undefined;
  /** [sequences, hidden] */
  readonly poolerOutput?: boolean | undefined;
  /** Masked-LM logits [rows, vocab]. */
  readonly predictionLogits?: boolean | undefined;
  /** Softmax of the masked-LM logits [rows, vocab]. */
  readonly predictionProbabilities?: boolean | undefined;
  /** The k most probable word pieces of each row; the vocabulary-wide rows stay on the GPU. */
  readonly predictionTopK?: number | undefined;
  /**
   * The k most probable word pieces of every row, by the masked-LM head on the embeddings' output and on that of each
   * layer: how a prediction comes about (a "logit lens").
   */
  readonly layerPredictionTopK?: number | undefined;
  /** Rows for the masked-LM head, as indices into the tokens of the whole batch laid end to end. All when not given. */
  readonly predictionRows?: readonly number[] | undefined;
  /** Next-sentence logits [sequences, 2]: 0 = B follows A. */
  readonly seqRelationshipLogits?: boolean | undefined;
  /** Of the classifier: [sequences, labels], [tokens, labels] of a token classifier, [sequences, 1] of choices. */
  readonly logits?: boolean | undefined;
  /** Question answering: start and end logits, each [tokens]. */
  readonly spanLogits?: boolean | undefined;
  /** One vector per sequence, [sequences, hidden]. */
  readonly embedding?: { readonly pooling: PoolMode; readonly normalize: boolean } | undefined;
}

/** Row-major values and their shape. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Both [rows, k], most probable first. */
export interface TopPredictions {
  readonly k: number;
  readonly probabilities: Float32Array;
  readonly ids: Uint32Array;
}

export interface Forward {
  /** Where each sequence's tokens begin, [sequences + 1]. */
  readonly cuSeqlens: Uint32Array;
  readonly lastHiddenState?: Values;
  readonly hiddenStates?: readonly Values[];
  /** Per layer, per sequence [heads, length, length]. */
  readonly attentions?: readonly (readonly Values[])[];
  readonly poolerOutput?: Values;
  readonly predictionLogits?: Values;
  readonly predictionProbabilities?: Values;
  readonly predictionTopK?: TopPredictions;
  /** Of the embeddings' output, then of each layer. */
  readonly layerPredictionTopK?: readonly TopPredictions[];
  readonly seqRelationshipLogits?: Values;
  readonly logits?: Values;
  readonly startLogits?: Float32Array;
  readonly endLogits?: Float32Array;
  readonly embedding?: Values;
}

/** The sizes that shape the outputs. */
export interface OutputSizes {
  readonly hiddenSize: number;
  readonly vocabSize: number;
  readonly numAttentionHeads: number;
  readonly numHiddenLayers: number;
  readonly labels: number;
}

/** Names and shapes what a program computed. */
export function collect(
  raw: Readonly<Record<string, OutputData>>,
  cuSeqlens: Uint32Array,
  wanted: Wanted,
  sizes: OutputSizes,
): Forward {
  const { hiddenSize, vocabSize, numAttentionHeads, numHiddenLayers, labels } = sizes;
  const values = (name: string, cols: number): Values => {
    const data = raw[name] as Float32Array;
    return { shape: [data.length / cols, cols], data };
  };
  const layers = <T>(count: number, of: (layer: number) => T): T[] => Array.from({ length: count }, (_, i) => of(i));
  const spans = raw.spanLogits as Float32Array | undefined;
  const { predictionTopK, layerPredictionTopK } = wanted;
  const top = (k: number, suffix: string): TopPredictions => ({
    k,
    probabilities: raw[`topProbabilities${suffix}`] as Float32Array,
    ids: raw[`topIds${suffix}`] as Uint32Array,
  });
  return {
    cuSeqlens,
    ...(wanted.lastHiddenState && { lastHiddenState: values("lastHiddenState", hiddenSize) }),
    ...(wanted.hiddenStates && {
      hiddenStates: layers(numHiddenLayers + 1, (layer) => values(`hiddenStates.${layer}`, hiddenSize)),
    }),
    ...(wanted.attentions && {
      attentions: layers(numHiddenLayers, (layer) =>
        splitAttentions(raw[`attentions.${layer}`] as Float32Array, cuSeqlens, numAttentionHeads),
      ),
    }),
    ...(wanted.poolerOutput && { poolerOutput: values("poolerOutput", hiddenSize) }),
    ...(wanted.predictionLogits && { predictionLogits: values("predictionLogits", vocabSize) }),
    ...(wanted.predictionProbabilities && { predictionProbabilities: values("predictionProbabilities", vocabSize) }),
    ...(predictionTopK && { predictionTopK: top(predictionTopK, "") }),
    ...(layerPredictionTopK && {
      layerPredictionTopK: layers(numHiddenLayers + 1, (layer) => top(layerPredictionTopK, `.${layer}`)),
    }),
    ...(wanted.seqRelationshipLogits && { seqRelationshipLogits: values("seqRelationshipLogits", 2) }),
    ...(wanted.logits && { logits: values("logits", labels) }),
    ...(spans && { startLogits: spans.filter((_, i) => i % 2 === 0), endLogits: spans.filter((_, i) => i % 2 === 1) }),
    ...(wanted.embedding && { embedding: values("embedding", hiddenSize) }),
  };
}

function splitAttentions(data: Float32Array, cuSeqlens: Uint32Array, heads: number): Values[] {
  let offset = 0;
  return Array.from({ length: cuSeqlens.length - 1 }, (_, s) => {
    const length = cuSeqlens[s + 1]! - cuSeqlens[s]!;
    const begin = offset;
    offset += heads * length * length;
    return { shape: [heads, length, length], data: data.subarray(begin, offset) };
  });
}
