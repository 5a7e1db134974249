/** One GPU device and what an engine keeps on it. A device that is lost takes all of this with it. */

import { Arena } from "./arena.ts";
import { type AdapterSummary, adapterSummary, deviceDescriptor, type IdleHook, infoOf } from "./device.ts";
import { DeviceLostError, NoWebGpuError } from "./errors.ts";
import { BufferOwner } from "./memory.ts";
import { PipelineCache } from "./pipelines.ts";

/** A device, and how it is lived with. */
export interface OpenedDevice {
  readonly device: GPUDevice;
  /** Described in reports; read from the device when it is not given. */
  readonly adapter?: AdapterSummary | undefined;
  /** Called when the engine begins to wait for the GPU; what it returns is called when the wait is over. */
  readonly idle?: IdleHook | undefined;
  /** Called when the engine has no more use for the device. */
  readonly close?: (() => void) | undefined;
}

export interface Home {
  readonly device: GPUDevice;
  readonly adapter: AdapterSummary;
  readonly idle: IdleHook | undefined;
  readonly memory: BufferOwner;
  readonly arena: Arena;
  readonly pipelines: PipelineCache;
  /** Bound where a kernel's optional operand is absent. */
  readonly dummy: GPUBuffer;
  /** Set once the device is lost. */
  lost: DeviceLostError | undefined;
  /** Frees all buffers, and what `close` of the opened device stands for. */
  leave(): void;
}

const DUMMY_USAGE = 0x80 | 0x04 | 0x08; // STORAGE | COPY_SRC | COPY_DST

/** @param remedy what to do when the device is lost, for the message */
export function settle(
  { device, adapter, idle, close }: OpenedDevice,
  remedy: string,
  onLost: (home: Home) => void,
): Home {
  const memory = new BufferOwner(device);
  const home: Home = {
    device,
    adapter: adapter ?? adapterSummary(infoOf(device)),
    idle,
    memory,
    arena: new Arena(memory),
    pipelines: new PipelineCache(device),
    dummy: memory.create("dummy", 256, DUMMY_USAGE),
    lost: undefined,
    leave() {
      memory.destroyAll();
      close?.();
    },
  };
  device.lost.then(({ reason, message }) => {
    home.lost = new DeviceLostError(reason ?? "unknown", message, remedy);
    onLost(home);
  });
  return home;
}

/** The best device of a browser. @throws NoWebGpuError */
export async function openBrowserDevice(): Promise<OpenedDevice> {
  const gpu = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (!gpu) {
    throw new NoWebGpuError(
      "this environment has no WebGPU (navigator.gpu is missing): use a browser with WebGPU on a secure (https or localhost) page, or createEngine of bert-webgpu/node",
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new NoWebGpuError("WebGPU is there but offers no adapter: look at chrome://gpu, update the graphics driver");
  }
  const device = await adapter.requestDevice(deviceDescriptor(adapter));
  return { device, adapter: adapterSummary(adapter.info), close: () => device.destroy() };
}
