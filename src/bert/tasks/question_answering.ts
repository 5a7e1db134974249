/** question-answering: the span of a context that answers a question (the pipeline of that name in transformers 4.57). */

import { type Answer, type AnswerWindow, answerSpans } from "./answers.ts";
import type { Plan } from "./plan.ts";
import {
  maxLength,
  type OwnNames,
  type Pretrained,
  requireCount,
  requireHead,
  requireOptions,
  sequenceOf,
  type TaskOptions,
} from "./pretrained.ts";
import { runTask } from "./stream.ts";

export type { Answer };

export interface Question {
  readonly question: string;
  readonly context: string;
}

export interface QuestionAnsweringOptions extends TaskOptions {
  /** Answers per question, best first; default 1. There may be fewer. */
  readonly topK?: number | undefined;
  /** Tokens of question and context in one window; default 384, or what the model takes. */
  readonly maxSeqLen?: number | undefined;
  /** Tokens of context that a window shares with the one before; default 128, of short windows half. */
  readonly docStride?: number | undefined;
  /** Tokens of an answer; default 15. */
  readonly maxAnswerLen?: number | undefined;
  /** Tokens of a question, beyond which it is cut, with a warning. Default: never, as with transformers' fast tokenizers. */
  readonly maxQuestionLen?: number | undefined;
  /** Lets the empty answer compete. Default false. */
  readonly handleImpossibleAnswer?: boolean | undefined;
  /** Widen answers to whole words. Default true. */
  readonly alignToWords?: boolean | undefined;
}

export const QUESTION_ANSWERING: OwnNames<QuestionAnsweringOptions> = {
  topK: 1,
  maxSeqLen: 1,
  docStride: 1,
  maxAnswerLen: 1,
  maxQuestionLen: 1,
  handleImpossibleAnswer: 1,
  alignToWords: 1,
};

/**
 * A long context is read in windows, and the answers of all compete.
 * @returns per question its answers, best first; offsets are in UTF-16 units of the context
 * @throws ModelError when the model has no head for spans; RangeError for an empty question or context, or a question that
 * leaves no room for context
 */
export function answerQuestions(
  pretrained: Pretrained,
  inputs: readonly Question[],
  options: QuestionAnsweringOptions = {},
): Promise<Answer[][]> {
  return runTask(planQuestionAnswering, pretrained, inputs, options);
}

export function planQuestionAnswering(
  pretrained: Pretrained,
  options: QuestionAnsweringOptions = {},
): Plan<Question, Answer[]> {
  requireOptions("question-answering", options, QUESTION_ANSWERING);
  requireHead(pretrained, "spanLogits", "question answering", "a head for start and end");
  const { tokenizer } = pretrained;
  const most = requireCount("maxSeqLen", Math.min(options.maxSeqLen ?? 384, maxLength(pretrained)));
  const stride = options.docStride ?? Math.min(Math.floor(most / 2), 128);
  const search = {
    topK: requireCount("topK", options.topK ?? 1),
    maxAnswerLen: requireCount("maxAnswerLen", options.maxAnswerLen ?? 15),
    handleImpossibleAnswer: options.handleImpossibleAnswer ?? false,
    alignToWords: options.alignToWords ?? true,
  };
  return {
    wanted: { spanLogits: true },
    prepare({ question, context }, index) {
      for (const [name, text] of Object.entries({ question, context })) {
        if (text === "") throw new RangeError(`input ${index + 1}: ${name} is empty`);
      }
      const first = tokenizer.encode(shortened(pretrained, question, options), context, {
        truncation: "only_second",
        maxLength: most,
        stride,
        returnOverflow: true,
      });
      const windows = [first, ...first.overflow];
      return {
        sequences: windows.map(sequenceOf),
        finish: (outputs) =>
          answerSpans(
            context,
            outputs.map(
              ({ startLogits, endLogits }, w): AnswerWindow => ({
                encoding: windows[w]!,
                startLogits: startLogits!,
                endLogits: endLogits!,
              }),
            ),
            search,
          ),
      };
    },
  };
}

function shortened(
  { tokenizer }: Pretrained,
  question: string,
  { maxQuestionLen, onWarning }: QuestionAnsweringOptions,
): string {
  if (maxQuestionLen === undefined) return question;
  const { offsets } = tokenizer.encode(question, undefined, { addSpecialTokens: false });
  if (offsets.length <= requireCount("maxQuestionLen", maxQuestionLen)) return question;
  onWarning?.(
    `question ${JSON.stringify(question.slice(0, 40))} has ${offsets.length} tokens, maxQuestionLen is ${maxQuestionLen}: the rest is left out`,
  );
  return question.slice(0, offsets[maxQuestionLen - 1]![1]);
}
