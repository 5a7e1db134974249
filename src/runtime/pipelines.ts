/** Compute pipelines, cached by their final source: the source is the key, so there are no keys to keep in step. */

import { type Binding, bindingsOf } from "../kernels/kernel.ts";
import { Checks } from "./checks.ts";
import { GpuError } from "./errors.ts";

export interface CompiledKernel {
  /** Shared by all that were compiled from the same. */
  readonly source: string;
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
    const checks = new Checks(device);
    const { layout, module, compiling } = checks.within(label, () => {
      const layout = this.#layoutOf(bindings);
      const module = device.createShaderModule({ label, code: source });
      const compiling = device.createComputePipelineAsync({
        label,
        layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: "main" },
      });
      return { layout, module, compiling };
    });
    try {
      const pipeline = await compiling;
      await checks.done();
      return { source, pipeline, layout, bindings };
    } catch (error) {
      this.#layouts.clear(); // one may have failed with the rest
      const faults = describeMessages(source, (await module.getCompilationInfo()).messages);
      if (!faults) await checks.done();
      throw new GpuError("compile", label, faults || String(error));
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
