/** Finds what is not a finite number where it lies, so that outputs need not be searched by the CPU. */
import { type Kernel, planRows, type RowOwner, requireIndexable, requireSizes, type Scalar } from "../kernel.ts";
import wgsl from "./non_finite.wgsl";

export interface NonFiniteShape {
  /** Elements of x. */
  readonly count: number;
  readonly dtype: Scalar;
}

/** Elements that share an element of the output. */
export const NON_FINITE_BLOCK = 1024;

/**
 * Bindings: x [count], in a buffer of a multiple of 16 bytes; out u32 [ceil(count / 1024)]: for each 1,024 elements 0 where
 * all are finite, else 1,024 less the place, counted from 0, of the first that is not.
 */
export function nonFiniteBy(owner: RowOwner): Kernel<NonFiniteShape> {
  return {
    name: "non_finite",
    source: wgsl,
    plan({ count, dtype }, limits) {
      requireSizes("non_finite", { count });
      requireIndexable("non_finite", { x: count });
      const rows = Math.ceil(count / NON_FINITE_BLOCK);
      const params = { count, rows, cols: NON_FINITE_BLOCK };
      return { ...planRows(owner, limits, { Scalar: dtype, WIDTH: 4 }, params), label: `${count}` };
    },
  };
}

/** A workgroup for each of the blocks. */
export const nonFinite: Kernel<NonFiniteShape> = /* @__PURE__ */ nonFiniteBy("workgroup");
