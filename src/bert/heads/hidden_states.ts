/** What the encoder itself computes for each token. */

import type { Head, Values } from "./head.ts";

export interface HiddenStatesWanted {
  /** [tokens, hidden] */
  readonly lastHiddenState?: boolean | undefined;
  /** The embeddings' output and that of each layer, each [tokens, hidden]. */
  readonly hiddenStates?: boolean | undefined;
}

interface HiddenStates {
  readonly lastHiddenState?: Values;
  readonly hiddenStates?: readonly Values[];
}

export const hiddenStates: Head<HiddenStatesWanted, undefined, HiddenStates, { lastHiddenState?: Float32Array }> = {
  outputs: { lastHiddenState: "token", hiddenStates: "token" },
  record: (_, wanted, { hidden, hiddenStates }) => ({
    ...(wanted.lastHiddenState && { lastHiddenState: hidden }),
    ...(wanted.hiddenStates && { hiddenStates }),
  }),
};
