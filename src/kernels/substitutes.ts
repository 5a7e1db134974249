/** Others in place of kernels that compute wrongly on a device: what `bert-webgpu doctor` found is so kept from being run. */

import {
  type AttentionShape,
  attention,
  attentionBroadcastBy,
  attentionKernelFor,
  attentionUnaligned,
} from "./attention/attention.ts";
import {
  type AttentionBackwardShape,
  attentionBackwardKernelsFor,
  attentionBackwardKV,
  attentionBackwardKVBroadcastBy,
  attentionBackwardKVUnaligned,
  attentionBackwardQ,
  attentionBackwardQBroadcastBy,
  attentionBackwardQUnaligned,
} from "./attention/attention_backward.ts";
import {
  type AttentionTrainingShape,
  attentionTraining,
  attentionTrainingBroadcastBy,
  attentionTrainingKernelFor,
  attentionTrainingUnaligned,
} from "./attention/attention_training.ts";
import { type DeviceTraits, type Kernel, type RowOwner, rowOwnerFor, type Scalar, type Substitutes } from "./kernel.ts";
import { crossEntropyBy, spanLossBy } from "./losses/losses.ts";
import { cosentBy, cosentGradientBy, rowDotsBy, tripletBy } from "./losses/sentences.ts";
import { type MatmulShape, matmulKernelOf, matmulNaive } from "./matmul/matmul.ts";
import { matmulBackwardKernelOf, matmulNaiveBackward } from "./matmul/matmul_backward.ts";
import { matmulCandidates } from "./matmul/matmul_choice.ts";
import type { MatmulConfig } from "./matmul/matmul_config.ts";
import {
  columnSumsBy,
  l2NormalizeBackwardBy,
  layernormBackwardBy,
  layernormWeightsBackwardBy,
} from "./rows/backward.ts";
import { l2NormalizeBy } from "./rows/l2_normalize.ts";
import { embedLayernormBy, layernormBy } from "./rows/layernorm.ts";
import { nonFiniteBy } from "./rows/non_finite.ts";
import { type SoftmaxShape, softmaxBy } from "./rows/softmax.ts";
import { variantName } from "./variant.ts";

/** What has no other takes any shape. */
type AnyKernel = Kernel<never>;
type Others = (shape: never, traits: DeviceTraits) => readonly AnyKernel[];

const byOwner =
  (of: (owner: RowOwner, shape: never) => AnyKernel): Others =>
  (shape, traits) =>
    ownersFor(traits).map((owner) => of(owner, shape));

const ownersFor = (traits: DeviceTraits): RowOwner[] =>
  rowOwnerFor(traits) === "thread" ? ["thread", "workgroup"] : ["workgroup", "thread"];

const throughSubgroups = ({ subgroupSize: size }: DeviceTraits, by: (size: number) => AnyKernel): AnyKernel[] =>
  size === 4 || size === 8 ? [by(size)] : [];

/** Those that compute the same by the same bindings, the engine's choice first. By beginnings of names, longer ones first. */
const others = (): readonly (readonly [name: string, others: Others])[] => [
  ["matmul_q8", () => []],
  ["matmul", matmuls],
  ["attention_probs", () => []],
  [
    "attention_training",
    (shape: AttentionTrainingShape, traits) => [
      attentionTrainingKernelFor(shape, traits),
      attentionTraining,
      ...throughSubgroups(traits, attentionTrainingBroadcastBy),
      attentionTrainingUnaligned,
    ],
  ],
  [
    "attention_backward_q",
    (shape: AttentionBackwardShape, traits) => [
      attentionBackwardKernelsFor(shape, traits).q,
      attentionBackwardQ,
      ...throughSubgroups(traits, attentionBackwardQBroadcastBy),
      attentionBackwardQUnaligned,
    ],
  ],
  [
    "attention_backward_kv",
    (shape: AttentionBackwardShape, traits) => [
      attentionBackwardKernelsFor(shape, traits).kv,
      attentionBackwardKV,
      ...throughSubgroups(traits, attentionBackwardKVBroadcastBy),
      attentionBackwardKVUnaligned,
    ],
  ],
  [
    "attention",
    (shape: AttentionShape, traits) => [
      attentionKernelFor(shape, traits),
      attention,
      ...throughSubgroups(traits, attentionBroadcastBy),
      attentionUnaligned,
    ],
  ],
  [
    "softmax",
    ({ cols }: SoftmaxShape, traits) => {
      const of = (vectors: "vec4" | "vec2") => ownersFor(traits).map((owner) => softmaxBy(owner, vectors));
      return [...(cols % 4 === 2 ? of("vec2") : []), ...of("vec4")];
    },
  ],
  ["layernorm_weights_backward", byOwner(layernormWeightsBackwardBy)],
  ["layernorm_backward", byOwner(layernormBackwardBy)],
  ["layernorm", byOwner(layernormBy)],
  ["embed_layernorm", byOwner(embedLayernormBy)],
  ["l2_normalize_backward", byOwner(l2NormalizeBackwardBy)],
  ["l2_normalize", byOwner(l2NormalizeBy)],
  ["non_finite", byOwner(nonFiniteBy)],
  ["column_sums", byOwner(columnSumsBy)],
  ["cross_entropy", byOwner((owner, { cols }: { readonly cols: number }) => crossEntropyBy(owner, cols))],
  ["span_loss", byOwner(spanLossBy)],
  ["row_dots_backward", () => []],
  ["row_dots", byOwner(rowDotsBy)],
  ["cosent_gradient", byOwner(cosentGradientBy)],
  ["cosent", byOwner(cosentBy)],
  ["triplet", byOwner(tripletBy)],
];

/** In the order in which tuning tries them, then what any device has room for, the plainest last. */
function matmuls(shape: MatmulShape, traits: DeviceTraits): AnyKernel[] {
  const { operands = "nt" } = shape;
  const configs: MatmulConfig[] = [
    ...matmulCandidates(shape, traits),
    { kind: "register" },
    { kind: "workgroup", tile: { rows: 32, cols: 32, depth: 32, rowFours: 1, colFours: 1 } },
    { kind: "split_k", split: 32 },
  ];
  const of = (config: MatmulConfig, vec4: boolean): AnyKernel =>
    operands === "nt" ? matmulKernelOf(config, vec4) : matmulBackwardKernelOf(config, operands, vec4);
  const all = [true, false].flatMap((vec4) => configs.map((config) => of(config, vec4)));
  return [...all, operands === "nt" ? matmulNaive : matmulNaiveBackward];
}

/**
 * Kernels that could be launched in place of this one, the engine's choice first and itself among them; none where it is the
 * only one. Some do not take the shape.
 */
export function alternativesTo<S>(kernel: Kernel<S>, shape: S, traits: DeviceTraits): Kernel<S>[] {
  const [, found] = others().find(([name]) => kernel.name.startsWith(name)) ?? [];
  return [...(found?.(shape as never, traits) ?? [])] as unknown as Kernel<S>[];
}

/**
 * For `EngineOptions.avoid`: kernels that are never launched where another computes the same.
 * @param avoided as `variantName` names them and doctor lists them: `matmul_workgroup 128x128x16 f16`
 */
export function avoidKernels(avoided: readonly string[]): Substitutes {
  const bad = new Set(avoided);
  const nameOf = <S>(kernel: Kernel<S>, shape: S, traits: DeviceTraits): string | undefined => {
    try {
      return variantName(kernel as unknown as Kernel<{ dtype: Scalar }>, shape as { dtype: Scalar }, traits.limits);
    } catch (error) {
      if (error instanceof RangeError) return undefined; // it does not take the shape
      throw error;
    }
  };
  return {
    avoided,
    of(kernel, shape, traits) {
      const isBad = bad.has(nameOf(kernel, shape, traits) ?? "");
      if (!isBad) return kernel;
      const good = alternativesTo(kernel, shape, traits).find((other) => {
        const name = nameOf(other, shape, traits);
        return name !== undefined && !bad.has(name);
      });
      return good ?? kernel;
    },
  };
}
