/** What the encoder itself computes for each token. */

import type { Head, Values } from "./head.ts";

export interface HiddenStatesWanted {
  /** [tokens, hidden] */
  readonly lastHiddenState?: boolean | undefined;
  /** The embeddings' output and that of each layer, each [tokens, hidden]. */
  readonly hiddenStates?: boolean | undefined;
}

interface HiddenStates<Rows> {
  readonly lastHiddenState?: Rows;
  readonly hiddenStates?: readonly Rows[];
}

export const hiddenStates: Head<HiddenStatesWanted, undefined, HiddenStates<Values>, HiddenStates<Float32Array>> = {
  outputs: { lastHiddenState: "token", hiddenStates: "token" },
  record: (_, wanted, { hidden, hiddenStates }) => ({
    ...(wanted.lastHiddenState && { lastHiddenState: hidden }),
    ...(wanted.hiddenStates && { hiddenStates }),
  }),
  split({ lastHiddenState, hiddenStates }, sequence) {
    const part = ({ shape, data }: Values): Float32Array => sequence.cut(data, shape[1]!, "token");
    return {
      ...(lastHiddenState && { lastHiddenState: part(lastHiddenState) }),
      ...(hiddenStates && { hiddenStates: hiddenStates.map(part) }),
    };
  },
};
