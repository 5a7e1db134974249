/** Which word piece stands in a token's place (BertForMaskedLM, BertForPreTraining). */

import {
  gatherRows,
  type LinearWeights,
  layerNorm,
  linear,
  type NormWeights,
  scalar,
  softmax,
  topK,
} from "../../runtime/ops.ts";
import type { Recorder, Ref } from "../../runtime/recorder.ts";
import type { BertConfig } from "../config.ts";
import { type Stored, linear as storedLinear, norm as storedNorm } from "../stored.ts";
import type { Head, PartOf, Raw, RowsOf, StoredShapes, Values } from "./head.ts";

interface LogitsWanted {
  /** Masked-LM logits [rows, vocab]. */
  readonly predictionLogits?: boolean | undefined;
  /** Softmax of the masked-LM logits [rows, vocab]. */
  readonly predictionProbabilities?: boolean | undefined;
}

export interface MaskedLmWanted extends LogitsWanted {
  /** The k most probable word pieces of each row; the vocabulary-wide rows stay on the GPU. */
  readonly predictionTopK?: number | undefined;
  /**
   * The k most probable word pieces of every row, by the masked-LM head on the embeddings' output and on that of each
   * layer: how a prediction comes about (a "logit lens").
   */
  readonly layerPredictionTopK?: number | undefined;
  /**
   * Rows for the masked-LM head, as indices into the tokens of the whole batch laid end to end. All when not given; none
   * gives outputs without rows.
   */
  readonly predictionRows?: readonly number[] | undefined;
}

/** Both [rows, k], most probable first. */
export interface TopPredictions {
  readonly k: number;
  readonly probabilities: Float32Array;
  readonly ids: Uint32Array;
}

interface Predictions extends RowsOf<LogitsWanted> {
  readonly predictionTopK?: TopPredictions;
  /** Of the embeddings' output, then of each layer. */
  readonly layerPredictionTopK?: readonly TopPredictions[];
}

interface SequencePredictions extends PartOf<LogitsWanted> {
  /** [rows, k], most probable first */
  readonly topProbabilities?: Float32Array;
  /** [rows, k] */
  readonly topIds?: Uint32Array;
}

export interface MaskedLmWeights {
  readonly transform: LinearWeights;
  readonly norm: NormWeights;
  readonly decoder: LinearWeights;
}

export const maskedLm: Head<MaskedLmWanted, MaskedLmWeights, Predictions, SequencePredictions> = {
  title: "masked LM",
  outputs: {
    predictionLogits: "row",
    predictionProbabilities: "row",
    predictionTopK: "row",
    layerPredictionTopK: "row",
    predictionRows: "option",
  },
  found: hasMaskedLm,
  weights: maskedLmWeights,
  prepare({ predictionRows: rows, predictionTopK, layerPredictionTopK }, { wordIds: { length: tokens } }, config) {
    for (const [name, k] of Object.entries({ predictionTopK, layerPredictionTopK })) {
      if (k !== undefined && !(Number.isInteger(k) && k >= 1 && k <= config.vocabSize)) {
        throw new RangeError(`${name} is ${k}, it must be from 1 to the vocabulary's ${config.vocabSize}`);
      }
    }
    const bad = rows?.find((row) => !Number.isInteger(row) || row < 0 || row >= tokens);
    if (bad !== undefined) throw new RangeError(`predictionRows holds ${bad}, the batch has tokens 0 to ${tokens - 1}`);
    return rows && { inputs: rows.length > 0 ? { predictionRows: Uint32Array.from(rows) } : {}, size: rows.length };
  },
  record(r, wanted, { hidden, hiddenStates, inputs, size, weights, config }) {
    if (size === 0) return {};
    const refs: Record<string, Ref> = {};
    const outputs = (states: Ref, asked: MaskedLmWanted, suffix = ""): void => {
      const { predictionLogits, predictionProbabilities, predictionTopK: k } = asked;
      if (!predictionLogits && !predictionProbabilities && !k) return;
      const logits = predict(r, states, inputs.predictionRows, weights, config);
      if (predictionLogits) refs.predictionLogits = logits;
      if (!predictionProbabilities && !k) return;
      const probabilities = softmax(r, logits);
      if (predictionProbabilities) refs.predictionProbabilities = probabilities;
      if (!k) return;
      const { values, indices } = topK(r, probabilities, k);
      refs[`topProbabilities${suffix}`] = values;
      refs[`topIds${suffix}`] = indices;
    };
    outputs(hidden, wanted);
    const lens = { predictionTopK: wanted.layerPredictionTopK };
    for (const [layer, states] of hiddenStates.entries()) outputs(states, lens, `.${layer}`);
    return refs;
  },
  give(raw, { wanted }, { vocabSize, numHiddenLayers }) {
    const { predictionTopK, layerPredictionTopK } = wanted;
    const matrix = (name: keyof LogitsWanted) =>
      wanted[name] && { [name]: raw[name] ?? { shape: [0, vocabSize], data: new Float32Array() } };
    const top = (k: number, suffix = ""): TopPredictions => ({
      k,
      probabilities: (raw[`topProbabilities${suffix}`] as Values | undefined)?.data ?? new Float32Array(),
      ids: (raw[`topIds${suffix}`] as Raw<Uint32Array> | undefined)?.data ?? new Uint32Array(),
    });
    return {
      ...matrix("predictionLogits"),
      ...matrix("predictionProbabilities"),
      ...(predictionTopK && { predictionTopK: top(predictionTopK) }),
      ...(layerPredictionTopK && {
        layerPredictionTopK: Array.from({ length: numHiddenLayers + 1 }, (_, i) => top(layerPredictionTopK, `.${i}`)),
      }),
    };
  },
  split: ({ predictionTopK: top }, { cut }) =>
    top ? { topProbabilities: cut(top.probabilities, top.k, "row"), topIds: cut(top.ids, top.k, "row") } : {},
  elements: (_, __, rows, { vocabSize }) => rows * vocabSize,
};

export function hasMaskedLm(shapes: StoredShapes): boolean {
  return shapes.has("cls.predictions.transform.dense.weight");
}

/** A tied decoder reads the word table, an untied one has a matrix of its own; its bias has either name, or both. */
export function maskedLmWeights(
  stored: Stored,
  { hiddenSize: h, vocabSize, tieWordEmbeddings: tied }: BertConfig,
  shapes: StoredShapes,
): MaskedLmWeights {
  const decoder = "cls.predictions.decoder";
  return {
    transform: storedLinear(stored, [h, h], "cls.predictions.transform.dense"),
    norm: storedNorm(stored, h, "cls.predictions.transform.LayerNorm"),
    decoder: storedLinear(stored, [vocabSize, h], decoder, {
      weight: tied ? "embeddings.word_embeddings.weight" : `${decoder}.weight`,
      bias:
        shapes.has(`${decoder}.bias`) || !shapes.has("cls.predictions.bias")
          ? `${decoder}.bias`
          : "cls.predictions.bias",
    }),
  };
}

/** Vocabulary logits of the tokens in `rows` [n], or of all: [n, vocab] (`prediction_logits`) */
export function predict(
  r: Recorder,
  hidden: Ref,
  rows: Ref | undefined,
  { transform, norm, decoder }: MaskedLmWeights,
  { hiddenAct, layerNormEps }: BertConfig,
  activation: "none" | "relu" = "none",
): Ref {
  const chosen = rows ? gatherRows(r, hidden, rows, scalar(hidden)) : hidden;
  const transformed = linear(r, chosen, transform, { activation: hiddenAct });
  return linear(r, layerNorm(r, transformed, norm, layerNormEps), decoder, { activation });
}
