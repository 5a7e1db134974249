/** How threads share the columns of a matrix: what the gradients of biases and of normalisations are summed by. */
import { foldWorkgroups, type KernelLimits, type KernelPlan, type RowOwner } from "../kernel.ts";

const WORKGROUP_SIZE = 64;
/** Threads of a column, where neighbours read neighbouring columns. */
const LANES = 16;
/** Columns that threads each take alone: the width of a CPU's vectors. */
const ABREAST = 8;

/** The plan of a kernel that imports rows/columns.wgsl. @param constants among them WIDTH, the elements of a vector */
export function planColumns(
  owner: RowOwner,
  limits: KernelLimits,
  constants: KernelPlan["constants"] & { readonly WIDTH: number },
  params: KernelPlan["params"] & { readonly rows: number; readonly cols: number },
): KernelPlan {
  const alone = owner === "thread";
  const [lanes, size] = alone ? [1, ABREAST] : [LANES, WORKGROUP_SIZE];
  return {
    constants: { ...constants, LANES: lanes, WORKGROUP_SIZE: size },
    params,
    workgroups: foldWorkgroups(Math.ceil(params.cols / constants.WIDTH / (size / lanes)), limits),
    label: `${params.rows}x${params.cols}`,
  };
}
