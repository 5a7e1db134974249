/** The launches of a recording with their pipelines: bound to buffers, then encoded into a pass. */

import { guarded } from "./errors.ts";
import type { CompiledKernel } from "./pipelines.ts";
import type { Recording, Ref } from "./recorder.ts";
import { bytesOf, Tensor } from "./tensor.ts";

export interface Steps {
  readonly dispatches: Recording["dispatches"];
  /** By dispatch. */
  readonly compiled: readonly CompiledKernel[];
  /** The parameters of all dispatches, for one uniform buffer. */
  readonly params: Uint8Array<ArrayBuffer>;
  /** Where each dispatch's begin, in bytes. */
  readonly paramOffsets: readonly number[];
}

/** What steps are bound to. */
export interface StepBuffers {
  readonly params: GPUBuffer;
  /** Stands for an optional operand that is absent. */
  readonly dummy: GPUBuffer;
  of(ref: Ref): GPUBuffer;
}

/** @param align of offsets in uniform buffers */
export function stepsOf({ dispatches }: Recording, compiled: readonly CompiledKernel[], align: number): Steps {
  const paramOffsets: number[] = [];
  let bytes = 0;
  for (const { params } of dispatches) {
    paramOffsets.push(bytes);
    bytes += Math.ceil(params.byteLength / align) * align;
  }
  const params = new Uint8Array(bytes);
  for (const [i, dispatch] of dispatches.entries()) params.set(dispatch.params, paramOffsets[i]!);
  return { dispatches, compiled, params, paramOffsets };
}

/** A bind group for each dispatch. @param watch takes the checks, which come later */
export function bindSteps(
  device: GPUDevice,
  { dispatches, compiled, paramOffsets }: Steps,
  buffers: StepBuffers,
  watch: (checked: Promise<void>) => void,
): GPUBindGroup[] {
  return dispatches.map(({ label, operands, params }, i) => {
    const { bindings, layout } = compiled[i]!;
    const entries = bindings.map(({ binding, name, access }): GPUBindGroupEntry => {
      if (access === "uniform") {
        return { binding, resource: { buffer: buffers.params, offset: paramOffsets[i]!, size: params.byteLength } };
      }
      const operand = operands.get(name);
      if (operand === undefined) return { binding, resource: { buffer: buffers.dummy } };
      const buffer = operand instanceof Tensor ? operand.buffer : buffers.of(operand);
      return { binding, resource: { buffer, size: bytesOf(operand.shape, operand.dtype) } };
    });
    const { result, checked } = guarded(device, label, () => device.createBindGroup({ label, layout, entries }));
    watch(checked);
    return result;
  });
}

/** @param passOf gives the pass for a dispatch: one for all, or while profiling one for each */
export function encodeSteps(
  { dispatches, compiled }: Steps,
  bindGroups: readonly GPUBindGroup[],
  passOf: (dispatch: number) => GPUComputePassEncoder,
): void {
  let current: { pass: GPUComputePassEncoder; pipeline: GPUComputePipeline } | undefined;
  for (const [i, { workgroups }] of dispatches.entries()) {
    const pass = passOf(i);
    const { pipeline } = compiled[i]!;
    if (current?.pass !== pass || current.pipeline !== pipeline) pass.setPipeline(pipeline);
    current = { pass, pipeline };
    pass.setBindGroup(0, bindGroups[i]!);
    pass.dispatchWorkgroups(...workgroups);
  }
}
