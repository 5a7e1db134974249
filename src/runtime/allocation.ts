/** Tensors that are made, filled and freed together, such as the weights of a model. */

import { Checks } from "./checks.ts";
import type { DeviceContext } from "./context.ts";
import { USAGE } from "./memory.ts";
import { BYTES, bytesOf, type DType, type Shape, type Table, Tensor } from "./tensor.ts";

/** Use `Engine.allocate`. */
export class Allocation {
  readonly #context: DeviceContext;
  readonly #checks: Checks;
  readonly #tensors: Tensor[] = [];

  constructor(context: DeviceContext) {
    this.#context = context;
    this.#checks = new Checks(context.device);
  }

  /** Bytes on the GPU. */
  get bytes(): number {
    return this.#tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** @throws RangeError when one storage binding cannot hold it: use `table` for a matrix that large. */
  tensor(label: string, shape: Shape, dtype: DType): Tensor {
    const context = this.#context;
    context.requireAlive();
    const bytes = bytesOf(shape, dtype);
    const most = context.device.limits.maxStorageBufferBindingSize;
    if (bytes > most) {
      throw new RangeError(
        `${label} [${shape}] takes ${bytes} bytes, a storage binding of this device holds at most ${most}`,
      );
    }
    const buffer = context.memory.create(this.#checks, label, bytes, USAGE.storage);
    const tensor = new Tensor(label, shape, dtype, buffer, context, this.#checks);
    this.#tensors.push(tensor);
    return tensor;
  }

  /** A [rows, cols] matrix, spread over as many tensors as the device's binding size asks for. */
  table(label: string, rows: number, cols: number, dtype: DType, rowsPerPart?: number): Table {
    const binding = this.#context.device.limits.maxStorageBufferBindingSize;
    const rowBytes = cols * BYTES[dtype];
    const most = Math.floor(binding / rowBytes);
    // parts begin at multiples of eight rows, so that those of one column of f16 begin at a word
    const perPart = rowsPerPart ?? (rows <= most ? rows : Math.floor(most / 8) * 8);
    if (perPart < 1) {
      throw new RangeError(
        `${label}: eight rows take ${8 * rowBytes} bytes, a storage binding of this device holds at most ${binding}`,
      );
    }
    const parts: Tensor[] = [];
    for (let row = 0; row < rows; row += perPart) {
      const partLabel = rows <= perPart ? label : `${label} rows ${row}..`;
      parts.push(this.tensor(partLabel, [Math.min(perPart, rows - row), cols], dtype));
    }
    return { rows, cols, rowsPerPart: perPart, parts };
  }

  /** Lets the GPU take what was written, once that is much: WebGPU keeps a copy until then. @throws as `done` */
  async flush(): Promise<void> {
    if (await this.#context.flushWrites(this.#checks)) await this.done();
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
