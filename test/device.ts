/**
 * The GPU device of the tests. `BERT_WEBGPU_ADAPTER` chooses the adapter as `requestDevice` does; default `auto`. With
 * `BERT_WEBGPU_MATRIX_UNITS=required` it has matrix units, or there is none.
 */

import { type NodeDevice, requestDevice } from "../src/node/device.ts";
import { traitsOf } from "../src/runtime/device.ts";

/** By which Dawn shows matrix units, an experiment of its own. */
export const EXPERIMENTS: readonly string[] = ["allow_unsafe_apis"];

let shared: Promise<NodeDevice> | undefined;

/** One device per test file: every file runs in a process of its own, which closes it by ending. */
export function testDevice(): Promise<NodeDevice> {
  shared ??= open();
  return shared;
}

async function open(): Promise<NodeDevice> {
  const adapter = process.env.BERT_WEBGPU_ADAPTER || "auto";
  if (process.env.BERT_WEBGPU_MATRIX_UNITS !== "required") return requestDevice({ adapter });
  const opened = await requestDevice({ adapter, toggles: EXPERIMENTS });
  if (traitsOf(opened.device, opened.adapter).matrixUnits) return opened;
  throw new Error(`BERT_WEBGPU_MATRIX_UNITS is required, and ${opened.adapter.description} has none`);
}

/** Whether kernels can store f16 here; SwiftShader cannot. */
export function hasF16(device: GPUDevice): boolean {
  return device.features.has("shader-f16");
}
