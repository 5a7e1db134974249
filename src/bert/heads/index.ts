/** Every head there is: a new one takes a file beside these, and a line here. */

export { attentions } from "./attentions.ts";
export { classifier } from "./classifier.ts";
export { embedding } from "./embedding.ts";
export { hiddenStates } from "./hidden_states.ts";
export { lateInteraction } from "./late_interaction.ts";
export { maskedLm } from "./masked_lm.ts";
export { nextSentence } from "./next_sentence.ts";
export { pooler } from "./pooler.ts";
export { spans } from "./spans.ts";
export { sparseEmbedding } from "./sparse_embedding.ts";
