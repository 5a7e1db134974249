/** Runs one kernel with raw WebGPU, so that a kernel is proved without the project's own runtime. */

import { fromFloat16, numbersToFloat16, toFloat16 } from "../../src/files/float16.ts";
import {
  type Binding,
  bindingsOf,
  type Kernel,
  type KernelLimits,
  packParams,
  paramsOf,
  type Scalar,
  specialize,
} from "../../src/kernels/kernel.ts";
import { napWhileWaiting } from "../../src/node/idle.ts";
import type { Bound, Case, CaseTable } from "../cases.ts";
import { randomNumbers } from "../cases.ts";

/** Values by binding name. A binding that is left out gets a small dummy buffer, as the runtime gives it. */
export type Buffers = Readonly<Record<string, ArrayLike<number>>>;

/** What outputs are filled with beforehand: an element that still holds it was not written. */
export const UNWRITTEN = -77;

const nap = napWhileWaiting();

// WebGPU's flags by number: Node has no globals for them.
const USAGE = { mapRead: 0x01, copySource: 0x04, copyTarget: 0x08, uniform: 0x40, storage: 0x80 };
const COMPUTE_STAGE = 0x4;
const MAP_READ_MODE = 0x1;

interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Compile once per source and device: software adapters take a second for some kernels. */
const compiled = new WeakMap<GPUDevice, Map<string, Promise<Compiled>>>();

/**
 * Dispatches `kernel` on `shape` and reads back its outputs.
 * @param inputs values of the read-only bindings
 * @param outputs elements of each read_write binding, or the values that it starts with
 * @param limits what the plan is made for; smaller ones than the device's make a small shape fold
 */
export async function runKernel<Shape extends { readonly dtype: Scalar }>(
  device: GPUDevice,
  kernel: Kernel<Shape>,
  shape: Shape,
  inputs: Buffers,
  outputs: Readonly<Record<string, number | ArrayLike<number>>>,
  limits: KernelLimits = device.limits,
): Promise<Record<string, Float64Array>> {
  const plan = kernel.plan(shape, limits);
  const source = specialize(kernel.source, plan.constants);
  const bindings = bindingsOf(source);
  const { pipeline, layout } = await compile(device, kernel.name, source, bindings);

  const owned: GPUBuffer[] = [];
  const upload = (bytes: Uint8Array<ArrayBuffer>, usage: GPUBufferUsageFlags): GPUBuffer => {
    const buffer = device.createBuffer({ size: bytes.byteLength, usage: usage | USAGE.copyTarget });
    device.queue.writeBuffer(buffer, 0, bytes);
    owned.push(buffer);
    return buffer;
  };
  device.pushErrorScope("validation");
  const readbacks: { name: string; elements: number; element: Element; buffer: GPUBuffer }[] = [];
  const encoder = device.createCommandEncoder();
  const copies: (() => void)[] = [];
  const entries = bindings.map(({ binding, name, access, type }): GPUBindGroupEntry => {
    if (access === "uniform") {
      const bytes = new Uint8Array(packParams(paramsOf(source), plan.params));
      return { binding, resource: { buffer: upload(bytes, USAGE.uniform) } };
    }
    const element = elementOf(resolved(type, source), shape.dtype);
    const given = access === "read_write" ? outputs[name] : inputs[name];
    const values = typeof given === "number" ? new Float64Array(given).fill(UNWRITTEN) : (given ?? []);
    const buffer = upload(encode(values, element), USAGE.storage | USAGE.copySource);
    if (access === "read_write") {
      const readback = device.createBuffer({
        size: buffer.size,
        usage: USAGE.mapRead | USAGE.copyTarget,
      });
      owned.push(readback);
      readbacks.push({ name, elements: values.length, element, buffer: readback });
      copies.push(() => encoder.copyBufferToBuffer(buffer, 0, readback, 0, buffer.size));
    }
    return { binding, resource: { buffer } };
  });
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
  pass.dispatchWorkgroups(...plan.workgroups);
  pass.end();
  for (const copy of copies) copy();
  device.queue.submit([encoder.finish()]);

  const error = await device.popErrorScope();
  if (error !== null) throw new Error(`${kernel.name} ${plan.label}: ${error.message}`);
  const results: Record<string, Float64Array> = {};
  for (const { name, elements, element, buffer } of readbacks) {
    const awake = nap();
    await buffer.mapAsync(MAP_READ_MODE).finally(awake);
    results[name] = decode(buffer.getMappedRange(), element).subarray(0, elements);
  }
  for (const buffer of owned) buffer.destroy();
  return results;
}

/** Compiles the source as it stands, and fails with the compiler's words. */
export async function compile(
  device: GPUDevice,
  label: string,
  source: string,
  bindings: readonly Binding[] = bindingsOf(source),
): Promise<Compiled> {
  const cache = compiled.get(device) ?? new Map<string, Promise<Compiled>>();
  compiled.set(device, cache);
  const known = cache.get(source);
  if (known !== undefined) return known;
  const fresh = create(device, label, source, bindings);
  cache.set(source, fresh);
  return fresh;
}

async function create(
  device: GPUDevice,
  label: string,
  source: string,
  bindings: readonly Binding[],
): Promise<Compiled> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label, code: source });
  const layout = device.createBindGroupLayout({
    entries: bindings.map(({ binding, access }) => ({
      binding,
      visibility: COMPUTE_STAGE,
      buffer: { type: access === "uniform" ? "uniform" : access === "read" ? "read-only-storage" : "storage" },
    })),
  });
  const pipeline = device.createComputePipeline({
    label,
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module, entryPoint: "main" },
  });
  const error = await device.popErrorScope();
  const { messages } = await module.getCompilationInfo();
  const lines = source.split("\n");
  const faults = messages
    .filter(({ type }) => type === "error")
    .map(({ lineNum, message }) => `line ${lineNum}: ${message}\n  ${lines[lineNum - 1] ?? ""}`);
  if (faults.length > 0 || error !== null) {
    throw new Error(`${label} does not compile: ${faults.join("\n") || error?.message}`);
  }
  return { pipeline, layout };
}

type Element = "f32" | "f16" | "u32";

/** With the type in place that `In` or `Out` is an alias of in a source. */
function resolved(type: string, source: string): string {
  return type.replace(/\b(In|Out)\b/, (name) => new RegExp(`^alias ${name} = (\\w+);`, "m").exec(source)?.[1] ?? name);
}

function elementOf(type: string, dtype: Scalar): Element {
  if (/u32/.test(type)) return "u32";
  return /Scalar|Vec4|Vector|Word|f16/.test(type) ? dtype : "f32";
}

/** The buffer's bytes, at least 16 of them, for a dummy binding too. */
function encode(values: ArrayLike<number>, element: Element): Uint8Array<ArrayBuffer> {
  const bytes = element === "f16" ? 2 : 4;
  const data = new ArrayBuffer(Math.max(16, Math.ceil((values.length * bytes) / 16) * 16));
  if (element === "f16") new Uint16Array(data).set(numbersToFloat16(values));
  else if (element === "u32") new Uint32Array(data).set(values);
  else new Float32Array(data).set(values);
  return new Uint8Array(data);
}

function decode(data: ArrayBuffer, element: Element): Float64Array {
  if (element === "f16") return Float64Array.from(new Uint16Array(data), fromFloat16);
  return Float64Array.from(element === "u32" ? new Uint32Array(data) : new Float32Array(data));
}

/** The values that a buffer of this type holds in place of these. */
export function quantize(values: ArrayLike<number>, element: Element): Float64Array {
  if (element === "u32") return Float64Array.from(values);
  return Float64Array.from(values, element === "f16" ? (value) => fromFloat16(toFloat16(value)) : Math.fround);
}

/** Told of an output that is further off than its bound. */
export class WrongOutputError extends Error {
  override readonly name = "WrongOutputError";
}

/** The element that comes nearest to what is allowed of it. */
export interface Worst {
  readonly error: number;
  readonly bound: number;
}

/** Runs a case of a table and throws, with the worst element, when it exceeds the case's bound. */
export async function check<Shape extends { readonly dtype: Scalar }>(
  device: GPUDevice,
  kernel: Kernel<Shape>,
  table: CaseTable<Shape>,
  of: Case<Shape>,
  dtype: Scalar,
): Promise<Worst> {
  const shape = { ...of.shape, dtype } as Shape;
  const given = of.inputs(randomNumbers(7));
  const source = specialize(kernel.source, kernel.plan(shape, device.limits).constants);
  const inputs = Object.fromEntries(
    bindingsOf(source)
      .filter(({ name }) => given[name] !== undefined)
      .map(({ name, type }) => [name, quantize(given[name]!, elementOf(resolved(type, source), dtype))]),
  );
  const before = Object.fromEntries(
    Object.entries(of.outputs).map(([name, count]) => [name, inputs[name] ?? new Float64Array(count).fill(UNWRITTEN)]),
  );
  const want = table.reference(shape, { ...inputs, ...before });
  const got = await runKernel(device, kernel, shape, inputs, before);
  const found = Object.entries(want).map(([name, values]) =>
    compare(`${kernel.name} ${JSON.stringify(shape)}: ${name}`, got[name]!, values, of.bound(dtype)),
  );
  return found.reduce((worst, each) => (shareOf(each) > shareOf(worst) ? each : worst));
}

/** Of what is allowed. */
export function shareOf({ error, bound }: Worst): number {
  return error === 0 ? 0 : error / bound;
}

/** Throws, with the worst element, when the values differ by more than the bound. NaN equals NaN. */
export function compare(what: string, got: ArrayLike<number>, want: ArrayLike<number>, bound: Bound): Worst {
  if (got.length !== want.length) throw new Error(`${what}: ${got.length} elements, expected ${want.length}`);
  let worst = { error: 0, bound: bound.absolute, excess: 0, at: -1 };
  for (let i = 0; i < want.length; i++) {
    const [a, b] = [got[i]!, want[i]!];
    if (Object.is(a, b) || a === b) continue;
    const error = Math.abs(a - b);
    const allowed = bound.absolute + bound.relative * Math.abs(b);
    const excess = error / allowed;
    if (!(excess <= worst.excess)) worst = { error, bound: allowed, excess, at: i };
    if (Number.isNaN(excess)) break;
  }
  if (worst.excess <= 1) return worst;
  const [a, b] = [got[worst.at], want[worst.at]];
  throw new WrongOutputError(
    `${what}[${worst.at}] is ${a}, expected ${b}: ${worst.excess.toPrecision(3)} times the allowed error`,
  );
}
