/** A forward pass, recorded: the encoder, and of the heads those that are asked for. */

import { linear, softmax, topK } from "../runtime/ops.ts";
import type { Recorder, Ref } from "../runtime/recorder.ts";
import type { BertConfig } from "./config.ts";
import { encode } from "./encoder.ts";
import { maskedLm, pooler, sentenceEmbedding } from "./heads.ts";
import type { Wanted } from "./outputs.ts";
import type { BertWeights } from "./weights.ts";

/** What `classifier` classifies, by the model's architecture. */
export type ClassifierKind = "sequence" | "token" | "choice";

/** All that a recording depends on beside the model and what is wanted. */
export interface ForwardShape {
  readonly tokens: number;
  readonly sequences: number;
  readonly masked: boolean;
  /** Of the masked-LM head; all tokens where not given. */
  readonly rows: number | undefined;
  /** Elements of a layer's attention probabilities. */
  readonly probSize: number;
}

export interface ForwardModel {
  readonly config: BertConfig;
  readonly dtype: "f32" | "f16";
  readonly weights: BertWeights;
  readonly classifierKind: ClassifierKind | undefined;
}

/** Inputs and outputs have the names by which `BertModel` knows them. */
export function recordForward(r: Recorder, shape: ForwardShape, wanted: Wanted, model: ForwardModel): void {
  const { weights, config, dtype, classifierKind } = model;
  const inputs = {
    tokens: r.input("tokens", [shape.tokens, 4], "u32"),
    cuSeqlens: r.input("cuSeqlens", [shape.sequences + 1], "u32"),
    masked: shape.masked,
    wordIds: weights.embeddings.word.parts.length > 1 ? r.input("wordIds", [shape.tokens], "u32") : undefined,
    probOffsets: wanted.attentions ? r.input("probOffsets", [shape.sequences], "u32") : undefined,
    probSize: shape.probSize,
  };
  const { hiddenStates, attentions } = encode(r, inputs, weights, config, dtype);
  const hidden = hiddenStates.at(-1)!;
  if (wanted.lastHiddenState) r.output("lastHiddenState", hidden);
  if (wanted.hiddenStates) for (const [i, ref] of hiddenStates.entries()) r.output(`hiddenStates.${i}`, ref);
  if (wanted.attentions) for (const [i, ref] of attentions.entries()) r.output(`attentions.${i}`, ref);

  const onTokens = classifierKind === "token";
  let pooled: Ref | undefined;
  if (wanted.poolerOutput || wanted.seqRelationshipLogits || (wanted.logits && !onTokens)) {
    pooled = pooler(r, hidden, inputs, weights.pooler!);
  }
  if (wanted.poolerOutput) r.output("poolerOutput", pooled!);
  if (wanted.seqRelationshipLogits) r.output("seqRelationshipLogits", linear(r, pooled!, weights.nextSentence!));
  if (wanted.logits) r.output("logits", linear(r, onTokens ? hidden : pooled!, weights.classifier!));
  if (wanted.spanLogits) r.output("spanLogits", linear(r, hidden, weights.qaOutputs!));
  if (wanted.embedding) {
    const { pooling: mode, normalize } = wanted.embedding;
    r.output("embedding", sentenceEmbedding(r, hidden, inputs, { mode, normalize }));
  }
  recordPredictions(r, hiddenStates, shape.rows, wanted, model);
}

/** The masked-LM head on the last hidden state, and of a logit lens on all of them. */
function recordPredictions(
  r: Recorder,
  hiddenStates: readonly Ref[],
  rowCount: number | undefined,
  wanted: Wanted,
  { weights, config }: ForwardModel,
): void {
  const { predictionLogits, predictionProbabilities, predictionTopK, layerPredictionTopK } = wanted;
  const onLast = predictionLogits || predictionProbabilities || predictionTopK;
  if (!onLast && !layerPredictionTopK) return;
  const rows = rowCount === undefined ? undefined : r.input("predictionRows", [rowCount], "u32");
  const predict = (hidden: Ref): Ref => maskedLm(r, hidden, rows, weights.maskedLm!, config);
  const outputTop = (probabilities: Ref, k: number, suffix: string): void => {
    const { values, indices } = topK(r, probabilities, k);
    r.output(`topProbabilities${suffix}`, values);
    r.output(`topIds${suffix}`, indices);
  };
  if (onLast) {
    const logits = predict(hiddenStates.at(-1)!);
    if (predictionLogits) r.output("predictionLogits", logits);
    if (predictionProbabilities || predictionTopK) {
      const probabilities = softmax(r, logits);
      if (predictionProbabilities) r.output("predictionProbabilities", probabilities);
      if (predictionTopK) outputTop(probabilities, predictionTopK, "");
    }
  }
  if (layerPredictionTopK) {
    for (const [layer, hidden] of hiddenStates.entries()) {
      outputTop(softmax(r, predict(hidden)), layerPredictionTopK, `.${layer}`);
    }
  }
}
