/** Every head there is. */

import { attentions } from "./attentions.ts";
import { classifier } from "./classifier.ts";
import { embedding } from "./embedding.ts";
import type { AnyHead } from "./head.ts";
import { hiddenStates } from "./hidden_states.ts";
import { lateInteraction } from "./late_interaction.ts";
import { maskedLm } from "./masked_lm.ts";
import { nextSentence } from "./next_sentence.ts";
import { pooler } from "./pooler.ts";
import { spans } from "./spans.ts";
import { sparseEmbedding } from "./sparse_embedding.ts";

/** A new one takes a file beside this one, and a line here, whose type is said since declarations are made file by file. */
export const HEADS = {
  hiddenStates: hiddenStates as typeof hiddenStates,
  attentions: attentions as typeof attentions,
  embedding: embedding as typeof embedding,
  pooler: pooler as typeof pooler,
  maskedLm: maskedLm as typeof maskedLm,
  sparseEmbedding: sparseEmbedding as typeof sparseEmbedding,
  nextSentence: nextSentence as typeof nextSentence,
  classifier: classifier as typeof classifier,
  spans: spans as typeof spans,
  lateInteraction: lateInteraction as typeof lateInteraction,
} as const;

export type HeadName = keyof typeof HEADS;

export const ALL_HEADS: readonly (readonly [name: HeadName, head: AnyHead])[] = /* @__PURE__ */ Object.entries(
  HEADS,
) as unknown as [HeadName, AnyHead][];
