/** A case's numbers: as the GPU holds them, as the CPU twin takes them, and how much work they are. */

import { float16ToFloat32, numbersToFloat16 } from "../src/files/float16.ts";
import { bindingsOf, type Kernel, type Scalar } from "../src/kernels/kernel.ts";
import { flopsOf } from "../src/kernels/work.ts";
import { BYTES, type DType, type InputData } from "../src/runtime/tensor.ts";
import { type Case, randomNumbers } from "../test/cases.ts";

export interface CaseData {
  readonly stored: ReadonlyMap<string, { readonly dtype: DType; readonly data: InputData }>;
  /** The same, rounded as they are stored, for the CPU twin. */
  readonly values: Readonly<Record<string, ArrayLike<number>>>;
  readonly outputs: readonly { readonly name: string; readonly dtype: DType; readonly size: number }[];
}

/** Which input a shape switches on or off by a field of another name. */
const SWITCHES: Readonly<Record<string, string>> = { tokens: "mask", token_type: "tokenTypes" };

/** Inputs that the shape switches off are left out, as the runtime leaves them. */
export function caseData<S extends { readonly dtype: Scalar }>(kernel: Kernel<S>, shape: S, of: Case<S>): CaseData {
  const types = new Map(bindingsOf(kernel.source).map(({ name, type }) => [name, elementOf(type, shape.dtype)]));
  const stored = new Map<string, { dtype: DType; data: InputData }>();
  const values: Record<string, ArrayLike<number>> = {};
  for (const [name, numbers] of Object.entries(of.inputs(randomNumbers(1)))) {
    const dtype = types.get(name);
    const on = (shape as Readonly<Record<string, unknown>>)[SWITCHES[name] ?? name] !== false;
    if (dtype === undefined || !on) continue;
    const data = encode(numbers, dtype);
    stored.set(name, { dtype, data });
    values[name] = data instanceof Uint16Array ? float16ToFloat32(data) : data;
  }
  const outputs = Object.entries(of.outputs).map(([name, size]) => ({ name, size, dtype: types.get(name)! }));
  return { stored, values, outputs };
}

/** The WGSL names an element's type `Scalar`, or something made of it, where it follows the shape's dtype. */
export function elementOf(type: string, dtype: Scalar): DType {
  if (type.includes("u32")) return "u32";
  return /<f32>|vec4f/.test(type) ? "f32" : dtype;
}

export function encode(values: ArrayLike<number>, dtype: DType): InputData {
  if (dtype === "u32") return Uint32Array.from(values);
  return dtype === "f16" ? numbersToFloat16(values) : Float32Array.from(values);
}

export interface Work {
  /** Multiplications and additions of the mathematics; 0 where moving bytes is what counts. */
  readonly flops: number;
  /** Bytes if each operand travels once, and of a table only the rows that are asked for. */
  readonly bytes: number;
}

/** Of one launch, whichever kernel does it. */
export function workOf(kernel: string, shape: { readonly dtype: Scalar }, data: CaseData): Work {
  const sizes = shape as unknown as Readonly<Record<string, number>>;
  if (kernel.startsWith("attention")) return attentionWork(kernel, sizes, BYTES[shape.dtype], data);
  if (kernel === "gather_rows") {
    const first = sizes.firstRow ?? 0;
    const rows = Array.from(data.values.indices!).filter((row) => row >= first && row < first + sizes.tableRows!);
    return { flops: 0, bytes: 2 * rows.length * sizes.cols! * BYTES[shape.dtype] + 4 * sizes.count! };
  }
  return {
    flops: flopsOf(kernel, shape),
    bytes: [...data.stored.values()].reduce((sum, { data }) => sum + data.byteLength, outputBytes(data)),
  };
}

function attentionWork(
  kernel: string,
  shape: Readonly<Record<string, number>>,
  elementBytes: number,
  data: CaseData,
): Work {
  const { heads, headDim, valueDim = headDim } = shape;
  const { cu_seqlens: starts, cu_seqlens_k: keyStarts } = data.values;
  const [queries, keys] = [lengthsOf(starts!), lengthsOf(keyStarts!)];
  const total = (lengths: readonly number[]): number => lengths.reduce((sum, length) => sum + length, 0);
  // The kernel of probabilities reads no values.
  const valueSize = kernel === "attention_probs" ? 0 : valueDim!;
  const pairs = queries.reduce((sum, length, s) => sum + length * keys[s]!, 0);
  // q, k and v may be three views of one buffer: each is read by its own width.
  const elements = heads! * (total(queries) * headDim! + total(keys) * (headDim! + valueSize));
  return {
    flops: flopsOf(kernel, shape, pairs),
    bytes: elements * elementBytes + outputBytes(data) + (data.stored.get("tokens")?.data.byteLength ?? 0),
  };
}

function lengthsOf(starts: ArrayLike<number>): number[] {
  return Array.from({ length: starts.length - 1 }, (_, s) => starts[s + 1]! - starts[s]!);
}

function outputBytes({ outputs }: CaseData): number {
  return outputs.reduce((sum, { size, dtype }) => sum + size * BYTES[dtype], 0);
}
