/** A device whose createBuffer fails on demand, as devices do that run out of memory. */

/** `at once`: createBuffer throws. `later`: it gives an invalid buffer, and the error scope around it says why. */
export type FaultTime = "at once" | "later";

export interface FaultyDevice {
  readonly device: GPUDevice;
  /** Asked at each createBuffer: when it shall fail, or undefined where it shall not. */
  fails: (label: string) => FaultTime | undefined;
  /** Faults that no error scope took: the app's own handler would have seen them. */
  readonly uncaptured: string[];
}

/** Wraps `device`. What is made on it is made on the device itself. */
export function faultyDevice(device: GPUDevice): FaultyDevice {
  const scopes: { readonly filter: GPUErrorFilter; fault?: string }[] = [];
  const faulty: FaultyDevice = { device, fails: () => undefined, uncaptured: [] };
  const own = {
    createBuffer(descriptor: GPUBufferDescriptor): GPUBuffer {
      const label = descriptor.label ?? "";
      const time = faulty.fails(label);
      if (time === undefined) return device.createBuffer(descriptor);
      if (time === "at once") throw new RangeError(`createBuffer failed: ${label}`);
      const scope = scopes.findLast(({ filter }) => filter === "out-of-memory");
      if (!scope) faulty.uncaptured.push(label);
      else scope.fault ??= `no memory for ${label}`;
      device.pushErrorScope("validation");
      const invalid = device.createBuffer({ ...descriptor, usage: 0 });
      device.popErrorScope().catch(() => {});
      return invalid;
    },
    pushErrorScope(filter: GPUErrorFilter): void {
      scopes.push({ filter });
      device.pushErrorScope(filter);
    },
    async popErrorScope(): Promise<GPUError | null> {
      const scope = scopes.pop();
      const error = await device.popErrorScope();
      return scope?.fault ? ({ message: scope.fault } as GPUError) : error;
    },
  };
  const proxy = new Proxy(device, {
    get(object, name) {
      if (name in own) return own[name as keyof typeof own];
      const value = Reflect.get(object, name) as unknown;
      return typeof value === "function" ? value.bind(object) : value;
    },
  });
  return Object.assign(faulty, { device: proxy });
}
