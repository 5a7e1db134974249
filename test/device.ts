/** The GPU device of the tests. `BERT_WEBGPU_ADAPTER` chooses the adapter as `requestDevice` does; default `auto`. */

import { type NodeDevice, requestDevice } from "../src/node/device.ts";

let shared: Promise<NodeDevice> | undefined;

/** One device per test file: every file runs in a process of its own, which closes it by ending. */
export function testDevice(): Promise<NodeDevice> {
  shared ??= requestDevice({ adapter: process.env.BERT_WEBGPU_ADAPTER || "auto" });
  return shared;
}

/** Whether kernels can store f16 here; SwiftShader cannot. */
export function hasF16(device: GPUDevice): boolean {
  return device.features.has("shader-f16");
}
