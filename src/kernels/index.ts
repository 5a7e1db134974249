/** WGSL kernels and their plans: pure text and arithmetic, for any WebGPU device. */

export { type AttentionShape, attention, attentionUnaligned } from "./attention/attention.ts";
export * from "./attention/attention_broadcast.ts";
export * from "./attention/attention_choice.ts";
export * from "./attention/attention_probs.ts";
export * from "./kernel.ts";
export * from "./matmul/linear.ts";
export { matmul, matmulNaive, matmulUnaligned } from "./matmul/matmul.ts";
export * from "./matmul/matmul_broadcast.ts";
export * from "./matmul/matmul_choice.ts";
export * from "./matmul/matmul_config.ts";
export * from "./matmul/matmul_q8.ts";
export * from "./matmul/matmul_split_k.ts";
export * from "./matmul/matmul_subgroup.ts";
export * from "./matmul/matmul_tuning.ts";
export * from "./matmul/matmul_workgroup.ts";
export * as reference from "./reference/twins.ts";
export * from "./rows/activation.ts";
export * from "./rows/l2_normalize.ts";
export * from "./rows/layernorm.ts";
export * from "./rows/softmax.ts";
export * from "./rows/top_k.ts";
export * from "./tokens/embed_layernorm.ts";
export * from "./tokens/gather_rows.ts";
export * from "./tokens/pool.ts";
export * from "./work.ts";
