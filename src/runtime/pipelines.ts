/** Compute pipelines, cached by their final source: the source is the key, so there are no keys to keep in step. */

import { type Binding, bindingsOf } from "../kernels/kernel.ts";
import { GpuError } from "./errors.ts";

export interface CompiledKernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly bindings: readonly Binding[];
}

export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #compiled = new Map<string, Promise<CompiledKernel>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  get size(): number {
    return this.#compiled.size;
  }

  /** Compiles `source` (entry point `main`), or shares the compilation that is done or under way. */
  get(source: string, label: string): Promise<CompiledKernel> {
    let compiled = this.#compiled.get(source);
    if (compiled === undefined) {
      compiled = this.#compile(source, label);
      this.#compiled.set(source, compiled);
      // A failure is not remembered: the device may have run out of memory for a moment only.
      compiled.catch(() => this.#compiled.delete(source));
    }
    return compiled;
  }

  async #compile(source: string, label: string): Promise<CompiledKernel> {
    const device = this.#device;
    const bindings = bindingsOf(source);
    const layout = this.#layoutOf(bindings);
    device.pushErrorScope("validation"); // a broken shader must not reach the application's error handler
    const module = device.createShaderModule({ label, code: source });
    const broken = device.popErrorScope();
    const pipeline = device.createComputePipelineAsync({
      label,
      layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    });
    try {
      return { pipeline: await pipeline, layout, bindings };
    } catch (error) {
      const fault = await broken;
      const info = await module.getCompilationInfo();
      const detail = describeMessages(source, info.messages) || fault?.message || String(error);
      throw new GpuError("compile", label, detail);
    } finally {
      await broken.catch(() => null);
    }
  }

  /** Explicit layouts: Dawn deduplicates them, while `layout: "auto"` makes a new one (5 ms) for every pipeline. */
  #layoutOf(bindings: readonly Binding[]): GPUBindGroupLayout {
    const key = bindings.map(({ binding, access }) => `${binding}:${access}`).join();
    let layout = this.#layouts.get(key);
    if (layout === undefined) {
      layout = this.#device.createBindGroupLayout({
        label: key,
        entries: bindings.map(({ binding, access }) => ({
          binding,
          visibility: 4, // GPUShaderStage.COMPUTE; the constant's object need not exist outside browsers
          buffer: { type: access === "uniform" ? "uniform" : access === "read" ? "read-only-storage" : "storage" },
        })),
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }
}

/** The compiler's errors, each with its line of the source. */
function describeMessages(source: string, messages: readonly GPUCompilationMessage[]): string {
  const lines = source.split("\n");
  return messages
    .filter(({ type }) => type === "error")
    .map(({ lineNum, message }) => `line ${lineNum}: ${message}\n    ${lines[lineNum - 1]?.trim() ?? ""}`)
    .join("\n");
}
