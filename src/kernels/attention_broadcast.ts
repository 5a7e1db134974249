/** Attention whose queries and weights pass through a subgroup: for adapters where a load costs more than arithmetic. */
import { type AttentionShape, attentionExtents, planTiles, requireAligned } from "./attention.ts";
import wgsl from "./attention_broadcast.wgsl";
import type { Kernel } from "./kernel.ts";
import addProducts from "./shared/add_products.wgsl";
import sequences from "./shared/attention_sequences.wgsl";
import vec4Operands from "./shared/attention_vec4.wgsl";

/** Queries of a workgroup, as in the .wgsl. */
const QUERIES = 8;
/** Fours of columns that a thread can own. */
const MOST_FOURS = 2;

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
      const fours = Math.min(MOST_FOURS, Math.ceil(columns / subgroup));
      const slices = Math.ceil(columns / (fours * subgroup));
      return planTiles(name, shape, { queries: QUERIES, slices }, { SUBGROUP: subgroup, FOURS: fours }, limits);
    },
  };
}

/** With the subgroup that the .wgsl has by default. */
export const attentionBroadcast: Kernel<AttentionShape> = /* @__PURE__ */ attentionBroadcastBy(8);
