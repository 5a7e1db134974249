/** Of cases.ts: where elements are not finite. */

import * as reference from "../src/kernels/reference/twins.ts";
import { type NonFiniteShape, nonFinite, nonFiniteBy } from "../src/kernels/rows/non_finite.ts";
import { type Case, type CaseTable, exact } from "./case.ts";

/** @param bad about how many elements are not finite */
export function nonFiniteCase(count: number, bad: number): Case<NonFiniteShape> {
  const kinds = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  return {
    shape: { count },
    why: `${bad} are not finite`,
    inputs(random) {
      const x = random.values(count, 6e4); // f16 ends at 65504
      for (let i = 0; i < bad; i++) x[random.integer(count)] = kinds[i % 3]!;
      return { x };
    },
    outputs: { out: Math.ceil(count / 1024) },
    bound: exact,
  };
}

export const nonFiniteCases: CaseTable<NonFiniteShape> = {
  kernels: () => [nonFinite, nonFiniteBy("thread")],
  reference: reference.nonFinite,
  cases: [
    nonFiniteCase(1, 0),
    nonFiniteCase(1, 1),
    nonFiniteCase(3, 2),
    nonFiniteCase(1023, 1),
    nonFiniteCase(1024, 4),
    nonFiniteCase(1025, 3),
    nonFiniteCase(20_011, 7),
    nonFiniteCase(20_011, 0),
  ],
  typical: [nonFiniteCase(128 * 768, 0)],
};
