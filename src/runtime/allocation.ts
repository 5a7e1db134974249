/** Tensors that are made, filled and freed together, such as the weights of a model. */

import { Checks } from "./checks.ts";
import type { DeviceContext } from "./context.ts";
import { requireBytes, USAGE } from "./memory.ts";
import { bytesOf, type DType, type Shape, Tensor } from "./tensor.ts";

/** What is written before the GPU is awaited. */
const FLUSH_BYTES = 8_388_608;

/** Where tensors get their memory: an allocation, or something that lays them out in another way. */
export type Room = Pick<Allocation, "mostBytes" | "tensor">;

/** Use `Engine.allocate`. */
export class Allocation {
  readonly #context: DeviceContext;
  readonly #checks: Checks;
  readonly #tensors: Tensor[] = [];
  #unflushed = 0;

  constructor(context: DeviceContext) {
    this.#context = context;
    this.#checks = new Checks(context.device);
  }

  /** Bytes on the GPU. */
  get bytes(): number {
    return this.#tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The most that one tensor can hold: what a storage binding of the device does. */
  get mostBytes(): number {
    return this.#context.device.limits.maxStorageBufferBindingSize;
  }

  /** @throws RangeError when one storage binding cannot hold it: use `allocateTable` for a matrix that large. */
  tensor(label: string, shape: Shape, dtype: DType): Tensor {
    const context = this.#context;
    context.requireAlive();
    const bytes = bytesOf(shape, dtype);
    requireBytes(`${label} [${shape}]`, bytes, this.mostBytes, "storage binding");
    const buffer = context.memory.create(this.#checks, label, bytes, USAGE.storage);
    const tensor = new Tensor(label, shape, dtype, buffer, context, this.#checks);
    this.#tensors.push(tensor);
    return tensor;
  }

  /**
   * Lets the GPU take what was written, once that is much: WebGPU keeps a copy until then.
   * @param bytes written since the last call
   * @throws as `done`
   */
  async flush(bytes: number): Promise<void> {
    this.#unflushed += bytes;
    if (this.#unflushed < FLUSH_BYTES) return;
    this.#unflushed = 0;
    const { queue } = this.#context.device;
    await this.#context.wait(
      this.#checks.within("uploads", () => {
        queue.submit([]);
        return queue.onSubmittedWorkDone();
      }),
    );
    await this.done();
  }

  /**
   * Waits for what WebGPU says of all that was made and written so far.
   * @throws GpuError, DeviceLostError: `dispose` it then
   */
  done(): Promise<void> {
    return this.#context.wait(this.#checks.done());
  }

  /** Frees all tensors. Safe to call twice. */
  dispose(): void {
    for (const tensor of this.#tensors) tensor.dispose();
  }
}
