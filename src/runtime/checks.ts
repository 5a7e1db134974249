/**
 * What WebGPU says of a piece of work: a run, a load or a bind makes its calls on the device within error scopes of its
 * own, so that a fault rejects that very call and nobody else's, and the app's own error handlers see none of it.
 */

import { GpuError } from "./errors.ts";

/** The first of several faults is told: a lack of memory explains whatever is invalid after it. */
const KINDS = ["out-of-memory", "internal", "validation"] as const;

export class Checks {
  readonly #device: GPUDevice;
  #answers: Promise<unknown> = Promise.resolve();
  /** The first, once WebGPU has told of it. */
  fault: GpuError | undefined;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /**
   * Makes synchronous calls on the device. What they did wrong is told by `done`, under this label.
   * @throws what a call throws at once
   */
  within<T>(label: string, calls: () => T): T {
    const device = this.#device;
    for (const kind of [...KINDS].reverse()) device.pushErrorScope(kind);
    try {
      return calls();
    } finally {
      const answered = KINDS.map(async (kind) => {
        const error = await device.popErrorScope();
        if (error) this.fault ??= new GpuError(kind, label, error.message);
      });
      this.#answers = Promise.all([this.#answers, ...answered]).then(() => {}); // or each would hold those before it
      this.#answers.catch(() => {}); // told to whoever asks; until then it must not count as unhandled
    }
  }

  /** Waits for what WebGPU says of all calls so far. @throws GpuError, the first fault */
  async done(): Promise<void> {
    await this.#answers;
    if (this.fault) throw this.fault;
  }
}
