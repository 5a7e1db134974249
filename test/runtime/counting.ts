/** A device that counts the calls made on it. */

export type Calls = Record<string, number>;

const COUNTED = [
  "createBuffer",
  "createBindGroup",
  "createBindGroupLayout",
  "createPipelineLayout",
  "createShaderModule",
  "createComputePipeline",
  "createComputePipelineAsync",
  "createCommandEncoder",
  "createQuerySet",
] as const;

/** `device` with other limits, as code that reads them sees it. */
export function limitedDevice(device: GPUDevice, limits: Partial<Record<keyof GPUSupportedLimits, number>>): GPUDevice {
  const own = new Proxy(device.limits, {
    get: (object, name) => (limits as Record<string | symbol, number>)[name] ?? Reflect.get(object, name),
  });
  return new Proxy(device, {
    get(object, name) {
      if (name === "limits") return own;
      const value = Reflect.get(object, name) as unknown;
      return typeof value === "function" ? value.bind(object) : value;
    },
  });
}

/** Wraps `device` so that `calls` holds how often each creating method, submit and writeBuffer were called. */
export function countingDevice(device: GPUDevice): { device: GPUDevice; calls: Calls } {
  const calls: Calls = {};
  const count = (target: object, names: readonly string[]): object =>
    new Proxy(target, {
      get(object, name) {
        const value = Reflect.get(object, name) as unknown;
        if (typeof value !== "function") return name === "queue" ? queue : value;
        return (...args: unknown[]) => {
          if (names.includes(String(name))) calls[String(name)] = (calls[String(name)] ?? 0) + 1;
          return Reflect.apply(value, object, args) as unknown;
        };
      },
    });
  const queue = count(device.queue, ["submit", "writeBuffer"]);
  return { device: count(device, COUNTED) as GPUDevice, calls };
}
