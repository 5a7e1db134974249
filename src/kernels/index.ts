/** WGSL kernels and their plans: pure text and arithmetic, for any WebGPU device. */
export * from "./activation.ts";
export * from "./attention.ts";
export * from "./attention_probs.ts";
export * from "./embed_layernorm.ts";
export * from "./gather_rows.ts";
export * from "./kernel.ts";
export * from "./l2_normalize.ts";
export * from "./layernorm.ts";
export * from "./linear.ts";
export { matmul, matmulNaive, matmulUnaligned } from "./matmul.ts";
export * from "./matmul_choice.ts";
export * from "./matmul_split_k.ts";
export * from "./matmul_workgroup.ts";
export * from "./pool.ts";
export * as reference from "./reference.ts";
export * from "./softmax.ts";
export * from "./top_k.ts";
