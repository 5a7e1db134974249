/** Attention as `attention.ts` has it, for training: with dropout, and with what its gradients are made from. */
import type { DeviceTraits, Kernel, KernelPlan } from "../kernel.ts";
import { dropoutParams } from "../rows/backward.ts";
import { type AttentionShape, isAligned, planBlocks, planBroadcast, requireAligned } from "./attention.ts";
import tiles from "./attention_training.wgsl";
import broadcast from "./attention_training_broadcast.wgsl";
import unaligned from "./attention_training_unaligned.wgsl";

/** Which probabilities are left out: the same in the backward pass. */
export interface AttentionDropout {
  /** Of a probability to be left out: 0 to less than 1; default 0. */
  readonly dropout?: number;
  /** These three say which; default 0. A recorder sets `step` at each run. */
  readonly seed?: number;
  readonly step?: number;
  readonly tensor?: number;
}

export type AttentionTrainingShape = AttentionShape & AttentionDropout;

/** Bindings: those of `attention`, and lse f32 [tokens, heads]: log(sum(exp(scores))), 0 where a query sees no key. */
export const attentionTraining: Kernel<AttentionTrainingShape> = {
  name: "attention_training",
  source: tiles,
  plan(shape, limits) {
    requireAligned("attention_training", shape);
    return withDropout("attention_training", planBlocks("attention_training", shape, limits), shape);
  },
};

/** As `attentionTraining`, for any dimensions, with scalar loads. */
export const attentionTrainingUnaligned: Kernel<AttentionTrainingShape> = {
  name: "attention_training_unaligned",
  source: unaligned,
  plan: (shape, limits) =>
    withDropout("attention_training_unaligned", planBlocks("attention_training_unaligned", shape, limits), shape),
};

/** As `attentionTraining`, on a device all of whose subgroups have `subgroup` threads, 4 or 8. */
export function attentionTrainingBroadcastBy(subgroup: number): Kernel<AttentionTrainingShape> {
  const name = "attention_training_broadcast";
  return {
    name,
    source: broadcast,
    features: ["subgroups"],
    plan: (shape, limits) => withDropout(name, planBroadcast(name, subgroup, shape, limits), shape),
  };
}

/** With the subgroup that the .wgsl has by default. */
export const attentionTrainingBroadcast: Kernel<AttentionTrainingShape> =
  /* @__PURE__ */ attentionTrainingBroadcastBy(8);

/** The fast kernel for this shape, as `attentionKernelFor` chooses. */
export function attentionTrainingKernelFor(
  shape: AttentionTrainingShape,
  traits?: DeviceTraits,
): Kernel<AttentionTrainingShape> {
  if (!isAligned(shape)) return attentionTrainingUnaligned;
  const subgroup = traits?.software ? traits.subgroupSize : undefined;
  return subgroup === 4 || subgroup === 8 ? attentionTrainingBroadcastBy(subgroup) : attentionTraining;
}

/** The plan of a kernel that imports attention/dropped.wgsl. @throws RangeError for a probability that is none */
export function withDropout(
  kernel: string,
  { constants, params, ...plan }: KernelPlan,
  { dropout = 0, seed = 0, step = 0, tensor = 0 }: AttentionDropout,
): KernelPlan {
  const { threshold, scale } = dropoutParams(kernel, dropout);
  return {
    ...plan,
    constants: { ...constants, DROPS: dropout > 0 },
    params: { ...params, seed, step, tensor, threshold, keep_scale: scale },
  };
}
