/** Every task by its name, under one interface: for whoever runs a task that somebody else has chosen. */

import type { Values } from "../outputs.ts";
import { type AttentionMaps, planAttentionMaps } from "./attention_maps.ts";
import { planFeatureExtraction } from "./feature_extraction.ts";
import { type FillMaskOptions, type MaskFill, planFillMask } from "./fill_mask.ts";
import { type ChoiceQuestion, type ChoiceResult, planMultipleChoice } from "./multiple_choice.ts";
import { type NextSentence, planNextSentence, type SentencePair } from "./next_sentence.ts";
import type { Plan } from "./plan.ts";
import type { Precision, VectorOf } from "./precision.ts";
import type { Pretrained, TaskOptions, TextInput } from "./pretrained.ts";
import {
  type Answer,
  planQuestionAnswering,
  type Question,
  type QuestionAnsweringOptions,
} from "./question_answering.ts";
import { planRanking, type RankedDocument, type RankingInput, type RankingOptions } from "./rerank.ts";
import { type EmbedOptions, planSentenceEmbedding } from "./sentence_embedding.ts";
import { planSimilarity, type SimilarityInput, type SimilarityOptions } from "./similarity.ts";
import { planSparseEmbedding, type SparseEntry, type SparseOptions } from "./sparse_embedding.ts";
import { runPlan, type StreamOptions, streamOptions, streamPlan } from "./stream.ts";
import { planSummarization, type Summary, type SummaryOptions } from "./summarization.ts";
import { type Classification, type ClassificationOptions, planTextClassification } from "./text_classification.ts";
import {
  type Entity,
  planTokenClassification,
  type TaggedInput,
  type TokenClassificationOptions,
} from "./token_classification.ts";
import { planZeroShot, type ZeroShot, type ZeroShotOptions } from "./zero_shot.ts";

interface Types<Input, Result, Options> {
  readonly input: Input;
  readonly result: Result;
  readonly options: Options;
}

/** What goes in, what comes out and what can be asked, by task. The names are Hugging Face's where it has one. */
export interface Tasks {
  readonly "fill-mask": Types<string, MaskFill[][], FillMaskOptions>;
  readonly "text-classification": Types<TextInput, Classification[], ClassificationOptions>;
  readonly "token-classification": Types<TaggedInput, Entity[], TokenClassificationOptions>;
  readonly "question-answering": Types<Question, Answer[], QuestionAnsweringOptions>;
  readonly "zero-shot-classification": Types<string, ZeroShot, ZeroShotOptions>;
  readonly "feature-extraction": Types<TextInput, Values, TaskOptions>;
  readonly "sentence-embedding": Types<TextInput, VectorOf<Precision>, EmbedOptions>;
  readonly "sparse-embedding": Types<string, SparseEntry[], SparseOptions>;
  readonly "sentence-similarity": Types<SimilarityInput, number[], SimilarityOptions>;
  readonly "text-ranking": Types<RankingInput, RankedDocument[], RankingOptions>;
  readonly summarization: Types<string, Summary, SummaryOptions>;
  readonly "next-sentence-prediction": Types<SentencePair, NextSentence, TaskOptions>;
  readonly "multiple-choice": Types<ChoiceQuestion, ChoiceResult, TaskOptions>;
  readonly "attention-maps": Types<TextInput, AttentionMaps, TaskOptions>;
}

export type TaskName = keyof Tasks;

/** A task bound to a model and to its options. */
export interface Task<Input, Result> {
  readonly name: TaskName;
  /** @returns a result per input, in their order */
  run(inputs: readonly Input[], options?: StreamOptions): Promise<Result[]>;
  /**
   * The same for inputs that come one by one, in bounded memory. Ends the source when its reader ends.
   * @throws what the source threw, or what is wrong with an input, after the results of all before it
   */
  stream(
    inputs: AsyncIterable<Input> | Iterable<Input>,
    options?: StreamOptions,
  ): AsyncGenerator<Result, void, undefined>;
}

const PLANS: {
  readonly [Name in TaskName]: (
    pretrained: Pretrained,
    options: Tasks[Name]["options"],
  ) => Plan<Tasks[Name]["input"], Tasks[Name]["result"]>;
} = {
  "fill-mask": planFillMask,
  "text-classification": planTextClassification,
  "token-classification": planTokenClassification,
  "question-answering": planQuestionAnswering,
  "zero-shot-classification": planZeroShot,
  "feature-extraction": planFeatureExtraction,
  "sentence-embedding": (pretrained, options) => planSentenceEmbedding<Precision>(pretrained, options),
  "sparse-embedding": planSparseEmbedding,
  "sentence-similarity": planSimilarity,
  "text-ranking": planRanking,
  summarization: planSummarization,
  "next-sentence-prediction": planNextSentence,
  "multiple-choice": planMultipleChoice,
  "attention-maps": planAttentionMaps,
};

export const TASK_NAMES: readonly TaskName[] = /* @__PURE__ */ Object.keys(PLANS) as TaskName[];

/** Options are a must where a task has one that is. */
type Given<Options> = Record<never, never> extends Options ? [options?: Options] : [options: Options];

/**
 * Everything about the options and the model is checked here, about an input when it comes.
 * @throws ModelError when the model lacks the task's head; RangeError for a name or an option that makes no sense;
 * TypeError for an unknown option
 */
export function createTask<Name extends TaskName>(
  pretrained: Pretrained,
  name: Name,
  ...[given]: Given<Tasks[Name]["options"]>
): Task<Tasks[Name]["input"], Tasks[Name]["result"]> {
  if (!Object.hasOwn(PLANS, name)) {
    throw new RangeError(`there is no task ${JSON.stringify(name)}; there are ${TASK_NAMES.join(", ")}`);
  }
  const bound: Tasks[Name]["options"] = given ?? {};
  const plan = PLANS[name](pretrained, bound);
  const own = streamOptions(bound);
  return {
    name,
    run: (inputs, options) => runPlan(pretrained.model, plan, inputs, { ...own, ...options }),
    stream: (inputs, options) => streamPlan(pretrained.model, plan, inputs, { ...own, ...options }),
  };
}
