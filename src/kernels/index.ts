/** WGSL kernels and their plans: pure text and arithmetic, for any WebGPU device. */

export {
  type AttentionShape,
  attention,
  attentionBroadcast,
  attentionBroadcastBy,
  attentionKernelFor,
  attentionUnaligned,
} from "./attention/attention.ts";
export * from "./attention/attention_backward.ts";
export * from "./attention/attention_probs.ts";
export { attentionSubgroup, attentionSubgroupFor } from "./attention/attention_subgroup.ts";
export * from "./attention/attention_training.ts";
export * from "./generation/choice.ts";
export * from "./generation/decoding.ts";
export {
  type Binding,
  bindingsOf,
  type Constant,
  DEFAULT_LIMITS,
  type DeviceTraits,
  foldWorkgroups,
  type Kernel,
  type KernelLimits,
  type KernelPlan,
  type MatrixUnit,
  type ParamField,
  packParams,
  paramsOf,
  type Scalar,
  type Substitutes,
  specialize,
  type Tuning,
  type Workgroups,
} from "./kernel.ts";
export * from "./losses/losses.ts";
export * from "./losses/sentences.ts";
export {
  type MatmulShape,
  matmul,
  matmulBroadcast,
  matmulBroadcastBy,
  matmulKernelOf,
  matmulNaive,
  matmulSplitK,
  matmulSplitKBy,
  matmulSubgroup,
  matmulUnaligned,
  matmulWorkgroup,
  matmulWorkgroupTiled,
  type Operands,
  planLinear,
} from "./matmul/matmul.ts";
export * from "./matmul/matmul_backward.ts";
export * from "./matmul/matmul_choice.ts";
export * from "./matmul/matmul_config.ts";
export * from "./matmul/matmul_q8.ts";
export * from "./matmul/matmul_tuning.ts";
export * from "./optimizer/optimizer.ts";
export * as reference from "./reference/twins.ts";
export * from "./rows/activation.ts";
export * from "./rows/backward.ts";
export * from "./rows/copy_blocks.ts";
export * from "./rows/keep_blocks.ts";
export * from "./rows/l2_normalize.ts";
export * from "./rows/layernorm.ts";
export * from "./rows/non_finite.ts";
export * from "./rows/softmax.ts";
export * from "./rows/top_k.ts";
export { alternativesTo, avoidKernels } from "./substitutes.ts";
export * from "./tokens/backward.ts";
export * from "./tokens/gather_rows.ts";
export * from "./tokens/pool.ts";
export * from "./variant.ts";
export * from "./work.ts";
