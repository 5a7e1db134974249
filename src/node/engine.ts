/** Engines in Node, on a device of Dawn's. */

import { requireKnown } from "../files/options.ts";
import type { MatmulTuning } from "../kernels/matmul/matmul_config.ts";
import { Engine, type EngineOptions } from "../runtime/engine.ts";
import { DEVICE_OPTIONS, type DeviceOptions, requestDevice } from "./device.ts";
import { readAvoided, readTuning } from "./tuning.ts";

export interface EngineSettings extends DeviceOptions, Pick<EngineOptions, "batchInvariant"> {
  /** Default: what `bert-webgpu tune` stored for the adapter, if it did; `false`: the built-in choices. */
  readonly tuning?: MatmulTuning | false | undefined;
  /**
   * Kernels not to launch where others compute the same. Default: those that `bert-webgpu doctor` found wrong on the
   * adapter; `false`: none.
   */
  readonly avoid?: readonly string[] | false | undefined;
}

/** An engine on the best adapter of this machine, or on the one asked for. @throws NoAdapterError, TypeError for an unknown option */
export async function createEngine(options: EngineSettings = {}): Promise<Engine> {
  requireKnown("createEngine", options, { ...DEVICE_OPTIONS, tuning: 1, avoid: 1, batchInvariant: 1 });
  const { tuning: given, avoid, batchInvariant, ...device } = options;
  const engine = await Engine.create({ open: () => requestDevice(device), batchInvariant });
  const warnings: string[] = [];
  const warn = (message: string): void => void warnings.push(message);
  engine.tuning = (given === undefined ? await readTuning(engine.adapter, warn) : given) || undefined;
  const avoided = avoid === undefined ? await readAvoided(engine.adapter, warn) : avoid || [];
  if (avoided.length > 0) {
    const { avoidKernels } = await import("../kernels/substitutes.ts"); // all kernels, which few need
    engine.avoid = avoidKernels(avoided);
  }
  for (const message of warnings.slice(0, 1)) process.emitWarning(message); // both lie in one file
  return engine;
}

/** The process's, as its GPU is: each further one would open a device and compile the same pipelines again. */
const shared: { engine?: Promise<Engine> } = {};

/**
 * The engine of those who name none: `createEngine()`, once, when it is first asked for, and again after it was disposed
 * or could not be made. It ends with the process, which it does not keep alive.
 * @throws NoAdapterError
 */
export function defaultEngine(): Promise<Engine> {
  const before = shared.engine;
  const alive = async (): Promise<Engine | undefined> => {
    const engine = await before;
    await engine?.ready();
    return engine;
  };
  shared.engine = alive()
    .catch(() => undefined)
    .then((engine) => engine ?? createEngine());
  return shared.engine;
}
