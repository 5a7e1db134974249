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

type Computed = Together<Given<EachHead>>;
/** What is surely there: `boolean` or what may be `undefined` says no more than that it may be. */
type Sure<W> = { [Name in keyof W]: false extends W[Name] ? never : undefined extends W[Name] ? never : Name }[keyof W];
/** The names under which a head gives what it is asked for: the same, or where it has no such output its others. */
type GivenNames<Name, H> = H extends AnyHead
  ? Name extends keyof Asked<H>
    ? Name extends keyof Given<H>
      ? Name
      : Exclude<keyof Given<H>, keyof Asked<H>>
    : never
  : never;

/** What was computed. What `W` asks for is defined: of `Forward<{ logits: true }>` the `logits` are. */
export type Forward<W extends Wanted = Wanted> = Computed & {
  readonly [Name in GivenNames<Sure<W>, EachHead>]: Name extends keyof Computed ? NonNullable<Computed[Name]> : never;
} & {
  /** Where each sequence's tokens begin, [sequences + 1]. */
  readonly cuSeqlens: Uint32Array;
};

/** What was computed of one sequence: of `Forward`, its part. */
export type SequenceOutput = Together<Split<EachHead>> & {
  /** Tokens. */
  readonly length: number;
};
