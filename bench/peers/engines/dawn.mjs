/** WebGPU for libraries of the browser: Dawn as `navigator.gpu`, waited for as the engine itself waits. */

import { importPeer } from "./serve.mjs";

/** As in src/node/idle.ts. */
const [AWAKE, NAP] = [0.5, 1];

/**
 * @param nap leave the processor to a software adapter while waiting
 * @returns the driver of the adapter that the libraries get, in its own words
 */
export async function provideWebGpu({ install, nap }) {
  const { create, globals } = await importPeer(install, "webgpu");
  Object.assign(globalThis, globals);
  const gpu = create([]);
  const navigator = globalThis.navigator ?? { userAgent: "Node", language: "en", hardwareConcurrency: 2 };
  Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
  if (nap) napWhileWaiting();
  acceptSharedMemory();
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("Dawn finds no adapter");
  return adapter.info.description;
}

/** Dawn polls while a read-back is pending and so takes a core from an adapter that computes on the CPU. */
function napWhileWaiting() {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  let [waits, since, turning] = [0, 0, false];
  const turn = () => {
    turning = waits > 0;
    if (!turning) return;
    if (performance.now() - since > AWAKE) Atomics.wait(cell, 0, 0, NAP);
    setImmediate(turn);
  };
  const watch = (prototype, method) => {
    const original = prototype[method];
    prototype[method] = function (...args) {
      const promise = original.apply(this, args);
      if (waits++ === 0) since = performance.now();
      if (!turning) {
        turning = true;
        setImmediate(turn);
      }
      const over = () => void waits--;
      promise.then(over, over);
      return promise;
    };
  };
  watch(globalThis.GPUBuffer.prototype, "mapAsync");
  watch(globalThis.GPUQueue.prototype, "onSubmittedWorkDone");
}

/** Dawn's binding refuses to upload from the shared memory of WebAssembly threads; browsers do not. */
function acceptSharedMemory() {
  const { prototype } = globalThis.GPUQueue;
  const original = prototype.writeBuffer;
  prototype.writeBuffer = function (buffer, offset, data, from = 0, count = undefined) {
    const memory = ArrayBuffer.isView(data) ? data.buffer : data;
    if (memory instanceof ArrayBuffer) {
      return original.call(this, buffer, offset, data, from, ...(count === undefined ? [] : [count]));
    }
    const unit = data.BYTES_PER_ELEMENT ?? 1;
    const length = count === undefined ? data.byteLength - from * unit : count * unit;
    const shared = new Uint8Array(memory, (data.byteOffset ?? 0) + from * unit, length);
    return original.call(this, buffer, offset, new Uint8Array(shared));
  };
}
