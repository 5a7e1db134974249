/** What a launch has to do, by the mathematics: for benches and profiles. */

/**
 * Floating-point operations, a multiply and an add counted apart; 0 for kernels that move bytes more than they compute.
 * @param kernel its name
 * @param pairs of a query and a key, for attention; as if its sequences were of equal lengths where not given
 */
export function flopsOf(kernel: string, shape: object, pairs?: number): number {
  const sizes = shape as Readonly<Record<string, number>>;
  if (kernel.startsWith("matmul")) return 2 * sizes.m! * sizes.n! * sizes.k!;
  if (kernel.startsWith("attention")) {
    const { tokens, sequences, heads, headDim, valueDim = headDim } = sizes;
    const values = kernel === "attention_probs" ? 0 : valueDim!;
    return 2 * heads! * (headDim! + values) * (pairs ?? tokens! ** 2 / sequences!);
  }
  return 0;
}
