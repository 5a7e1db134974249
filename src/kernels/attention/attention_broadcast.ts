/** Attention whose queries and weights pass through a subgroup: for adapters where a load costs more than arithmetic. */

import type { Kernel } from "../kernel.ts";
import addProducts from "../shared/add_products.wgsl";
import { type AttentionShape, attentionExtents, planTiles, requireAligned } from "./attention.ts";
import wgsl from "./attention_broadcast.wgsl";
import sequences from "./attention_sequences.wgsl";
import vec4Operands from "./attention_vec4.wgsl";

/** Queries of a workgroup, as in the .wgsl. */
const QUERIES = 8;
/** Fours of columns that a thread may own, by the size of subgroups: then heads of 64 make their scores once. */
const MOST_FOURS = { 4: 4, 8: 2 } as const;

/** As `attention`, on a device all of whose subgroups have `subgroup` threads, 4 or 8. */
export function attentionBroadcastBy(subgroup: number): Kernel<AttentionShape> {
  const name = "attention_broadcast";
  return {
    name,
    source: [wgsl, vec4Operands, sequences, addProducts].join("\n"),
    features: ["subgroups"],
    plan(shape, limits) {
      requireAligned(name, shape);
      if (subgroup !== 4 && subgroup !== 8) throw new RangeError(`${name}: subgroups of ${subgroup}, not of 4 or 8`);
      const columns = Math.ceil(attentionExtents(name, shape).valueDim / 4);
      const wanted = Math.ceil(columns / subgroup);
      const fours = Math.min(MOST_FOURS[subgroup], wanted > 2 ? 4 : wanted);
      const slices = Math.ceil(columns / (fours * subgroup));
      return planTiles(name, shape, { queries: QUERIES, slices }, { SUBGROUP: subgroup, FOURS: fours }, limits);
    },
  };
}

/** With the subgroup that the .wgsl has by default. */
export const attentionBroadcast: Kernel<AttentionShape> = /* @__PURE__ */ attentionBroadcastBy(8);
