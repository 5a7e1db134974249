/** Which kernel attends: decided from the shape and from what kind of device it is. */

import type { DeviceTraits, Kernel } from "../kernel.ts";
import { type AttentionShape, attention, attentionUnaligned, isAligned } from "./attention.ts";
import { attentionBroadcastBy } from "./attention_broadcast.ts";

/**
 * The fast kernel for this shape. On a software adapter with subgroups, operands pass through them (measured: four
 * times faster than through workgroup memory); elsewhere, and without traits, through workgroup memory.
 */
export function attentionKernelFor(shape: AttentionShape, traits?: DeviceTraits): Kernel<AttentionShape> {
  if (!isAligned(shape)) return attentionUnaligned;
  const subgroup = traits?.software ? traits.subgroupSize : undefined;
  return subgroup === 4 || subgroup === 8 ? attentionBroadcastBy(subgroup) : attention;
}
