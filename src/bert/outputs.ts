/** What can be asked of a model, and what comes back: all that its heads have. */

import type { AnyHead } from "./heads/head.ts";
import type { HEADS } from "./heads/index.ts";

export type { Values } from "./heads/head.ts";
export type { TopPredictions } from "./heads/masked_lm.ts";

type EachHead = (typeof HEADS)[keyof typeof HEADS];
type Asked<H> = H extends AnyHead ? Parameters<H["record"]>[1] : never;
type Given<H> = H extends AnyHead ? ReturnType<NonNullable<H["give"]>> : never;
type Split<H> = H extends AnyHead ? ReturnType<NonNullable<H["split"]>> : never;
/** Of a union of objects, one with the fields of all. */
type Together<Union> = (Union extends unknown ? (part: Union) => void : never) extends (all: infer All) => void
  ? { readonly [Name in keyof All]: All[Name] }
  : never;

/** What to compute. Only what is asked for is computed and read back. */
export type Wanted = Together<Asked<EachHead>>;

/** What was computed. */
export type Forward = Together<Given<EachHead>> & {
  /** Where each sequence's tokens begin, [sequences + 1]. */
  readonly cuSeqlens: Uint32Array;
};

/** What was computed of one sequence: of `Forward`, its part. */
export type SequenceOutput = Together<Split<EachHead>> & {
  /** Tokens. */
  readonly length: number;
};
