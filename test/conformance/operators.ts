/** Which kernel computes which operator: the one that the engine launches on its device. The CPU only rearranges: transposes, broadcasts, splits batches. */

import {
  activation,
  embedLayernormBy,
  gatherRows,
  l2NormalizeBy,
  layernormBy,
  matmulKernelFor,
  pool,
  type Scalar,
  softmaxKernelFor,
  topK,
} from "../../src/kernels/index.ts";
import { rowReducerFor } from "../../src/kernels/kernel.ts";
import type { Engine } from "../../src/node/index.ts";
import { attentionOp, packedAttentionOp } from "./attention.ts";
import { launch } from "./launch.ts";
import { Skip } from "./skip.ts";
import { axesLast, axisOf, broadcast, type Dense, dense, permute, sizeOf, type VectorRecord } from "./vectors.ts";

/** The first output, flat. @throws Skip with the reason */
export type Operator = (engine: Engine, record: VectorRecord, dtype: Scalar) => Promise<ArrayLike<number>>;

const NOT_A_KERNEL = "not a kernel of its own";

export const OPERATORS: Readonly<Record<string, Operator | string>> = {
  matmul: matmulOp,
  gemm: gemmOp,
  softmax: softmaxOp(false),
  log_softmax: softmaxOp(true),
  gelu: activationOp(({ attributes }) => (attributes.approximate === "tanh" ? "gelu_tanh" : "gelu")),
  bias_gelu: activationOp(({ attributes }) => (attributes.approximate === "tanh" ? "gelu_tanh" : "gelu")),
  tanh: activationOp(() => "tanh"),
  erf: activationOp(() => "erf"),
  layer_normalization: layerNormOp,
  skip_layer_norm: skipLayerNormOp,
  embed_layer_norm: embedLayerNormOp,
  gather: gatherOp,
  argmax: argmaxOp,
  l2_normalize: l2NormalizeOp,
  reduce_mean: reduceMeanOp,
  attention: attentionOp,
  attention_packed_qkv: packedAttentionOp,
  add: `${NOT_A_KERNEL}: sums are epilogues of matmul and layernorm`,
  bias_add_residual: `${NOT_A_KERNEL}: an epilogue of matmul`,
  transpose: `${NOT_A_KERNEL}: matmul reads weights as they are stored`,
  cross_entropy: `${NOT_A_KERNEL}: losses are computed on the CPU`,
  nll_loss: `${NOT_A_KERNEL}: losses are computed on the CPU`,
};

function input({ inputs }: VectorRecord, ...names: string[]): Dense {
  return optional({ inputs }, ...names) ?? missing(names[0]!);
}

function optional({ inputs }: Pick<VectorRecord, "inputs">, ...names: string[]): Dense | undefined {
  const found = inputs.find(({ name }) => names.includes(name));
  return found && dense(found);
}

function missing(name: string): never {
  throw new TypeError(`the record has no input ${name}`);
}

function requireFloats({ inputs }: VectorRecord, name: string): void {
  const { dtype } = inputs.find((candidate) => candidate.name === name)!;
  if (!dtype.startsWith("float")) throw new Skip(`dtype ${dtype} is not offered`);
}

/** The last two axes exchanged; a vector stays as it is. */
function swapLast(tensor: Dense): Dense {
  const order = [...tensor.shape.keys()];
  if (order.length < 2) return tensor;
  return permute(tensor, [...order.slice(0, -2), order.length - 1, order.length - 2]);
}

/** x [m, k] times weight [n, k]. */
async function multiply(
  engine: Engine,
  x: Dense,
  weight: Dense,
  dtype: Scalar,
  { bias, residual }: { bias?: Dense | undefined; residual?: Dense | undefined } = {},
): Promise<ArrayLike<number>> {
  const [m, k] = x.shape as [number, number];
  const n = weight.shape[0]!;
  const shape = { m, n, k, dtype, bias: !!bias, residual: !!residual, activation: "none" as const };
  const inputs = {
    x: { floats: x.data },
    weight: { floats: weight.data },
    bias: bias && { floats: bias.data },
    residual: residual && { floats: residual.data },
  };
  const { out } = await launch(engine, matmulKernelFor(shape, engine.traits), shape, inputs, { out: { size: m * n } });
  return out!;
}

async function matmulOp(engine: Engine, record: VectorRecord, dtype: Scalar): Promise<ArrayLike<number>> {
  const { transA, transB, alpha = 1 } = record.attributes;
  if (alpha !== 1) throw new Skip(`alpha ${alpha} is not offered`);
  let [a, b] = [input(record, "A"), input(record, "B")];
  if (transA) a = swapLast(a);
  if (transB) b = swapLast(b);
  if (a.shape.length === 1) a = { shape: [1, ...a.shape], data: a.data };
  if (b.shape.length === 1) b = { shape: [...b.shape, 1], data: b.data };
  const [m, k, n] = [a.shape.at(-2)!, a.shape.at(-1)!, b.shape.at(-1)!];
  const [left, right] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  const rank = Math.max(left.length, right.length);
  const batch = Array.from({ length: rank }, (_, i) => Math.max(left.at(i - rank) ?? 1, right.at(i - rank) ?? 1));
  const x = broadcast(a, [...batch, m, k]);
  const weight = broadcast(swapLast(b), [...batch, n, k]);
  const result = new Float64Array(sizeOf(batch) * m * n);
  for (let i = 0; i < sizeOf(batch); i++) {
    const part = ({ data }: Dense, rows: number): Dense => ({
      shape: [rows, k],
      data: data.subarray(i * rows * k, (i + 1) * rows * k),
    });
    result.set(Array.from(await multiply(engine, part(x, m), part(weight, n), dtype)), i * m * n);
  }
  return result;
}

async function gemmOp(engine: Engine, record: VectorRecord, dtype: Scalar): Promise<ArrayLike<number>> {
  const { transA, transB, alpha = 1, beta = 1 } = record.attributes;
  const c = optional(record, "C");
  if (alpha !== 1 || (c && beta !== 1)) throw new Skip(`alpha ${alpha}, beta ${beta} are not offered, 1 and 1 are`);
  const [a, b] = [input(record, "A"), input(record, "B")];
  const x = transA ? permute(a, [1, 0]) : a;
  const weight = transB ? b : permute(b, [1, 0]);
  const [m, n] = [x.shape[0]!, weight.shape[0]!];
  const isBias = c && c.data.length === n && c.shape.at(-1) === n;
  return multiply(engine, x, weight, dtype, {
    bias: isBias ? c : undefined,
    residual: c && !isBias ? broadcast(c, [m, n]) : undefined,
  });
}

/** Runs a kernel of rows over one axis: the axis goes last, and back. */
async function alongAxis(
  x: Dense,
  axis: number,
  run: (rows: number, cols: number, floats: Float64Array) => Promise<ArrayLike<number>>,
): Promise<ArrayLike<number>> {
  const { moved, undo } = axesLast(x, [axisOf(axis, x.shape.length)]);
  const cols = moved.shape.at(-1) ?? 1;
  const out = await run(moved.data.length / cols, cols, moved.data);
  return permute({ shape: moved.shape, data: Float64Array.from(out) }, undo).data;
}

function softmaxOp(log: boolean): Operator {
  return (engine, record, dtype) =>
    alongAxis(input(record, "X", "input"), Number(record.attributes.axis ?? -1), async (rows, cols, floats) => {
      const shape = { rows, cols, dtype, log };
      const kernel = softmaxKernelFor(shape, engine.traits);
      return (await launch(engine, kernel, shape, { x: { floats } }, { out: { size: rows * cols } })).out!;
    });
}

function l2NormalizeOp(engine: Engine, record: VectorRecord, dtype: Scalar): Promise<ArrayLike<number>> {
  return alongAxis(input(record, "X", "input"), Number(record.attributes.axis ?? -1), async (rows, cols, floats) => {
    const kernel = l2NormalizeBy(rowReducerFor(engine.traits));
    return (await launch(engine, kernel, { rows, cols, dtype }, { x: { floats } }, { out: { size: rows * cols } }))
      .out!;
  });
}

async function argmaxOp(engine: Engine, record: VectorRecord, dtype: Scalar): Promise<ArrayLike<number>> {
  requireFloats(record, record.inputs[0]!.name);
  const x = input(record, record.inputs[0]!.name);
  const { moved } = axesLast(x, [axisOf(Number(record.attributes.axis), x.shape.length)]);
  const cols = moved.shape.at(-1)!;
  const rows = moved.data.length / cols;
  const shape = { rows, cols, k: 1, dtype, lastIndex: record.attributes.select_last_index === true };
  const outputs = { values: { size: rows, dtype: "f32" as const }, indices: { size: rows, dtype: "u32" as const } };
  return (await launch(engine, topK, shape, { x: { floats: moved.data } }, outputs)).indices!;
}

function activationOp(kind: (record: VectorRecord) => "gelu" | "gelu_tanh" | "tanh" | "erf"): Operator {
  return async (engine, record, dtype) => {
    const x = input(record, "X", "input");
    const bias = optional(record, "bias");
    const cols = bias?.data.length ?? x.shape.at(-1) ?? 1;
    const shape = { rows: x.data.length / cols, cols, dtype, bias: !!bias, activation: kind(record) };
    const inputs = { x: { floats: x.data }, bias: bias && { floats: bias.data } };
    return (await launch(engine, activation, shape, inputs, { out: { size: x.data.length } })).out!;
  };
}

async function layerNormOp(engine: Engine, record: VectorRecord, dtype: Scalar): Promise<ArrayLike<number>> {
  const x = input(record, "input", "X");
  const axes = (record.attributes.axes as number[]).map((axis) => axisOf(axis, x.shape.length));
  const { moved, undo } = axesLast(x, axes);
  const cols = sizeOf(axes.map((axis) => x.shape[axis]!));
  const affine = (name: string, fallback: number) => {
    const given = optional(record, name);
    return given ? oneRow(given, x.shape, axes) : new Float64Array(cols).fill(fallback);
  };
  const shape = { rows: x.data.length / cols, cols, eps: Number(record.attributes.epsilon), dtype, residual: false };
  const inputs = {
    x: { floats: moved.data },
    gamma: { floats: affine("scale", 1) },
    beta: { floats: affine("bias", 0) },
  };
  const { out } = await launch(engine, layernormBy(rowReducerFor(engine.traits)), shape, inputs, {
    out: { size: x.data.length },
  });
  return permute({ shape: moved.shape, data: Float64Array.from(out!) }, undo).data;
}

/** A scale or bias as one row over the normalised axes: given so (WebNN), or to be broadcast (ONNX). */
function oneRow(given: Dense, shape: readonly number[], axes: readonly number[]): Float64Array {
  const row = axes.map((axis) => shape[axis]!);
  if (given.shape.length === row.length && row.every((size, i) => size === given.shape[i])) return given.data;
  const { data } = axesLast(broadcast(given, shape), axes).moved;
  const cols = sizeOf(row);
  if (data.some((value, i) => value !== data[i % cols])) {
    throw new Skip("a scale or bias that varies along axes that are not normalised is not offered");
  }
  return data.subarray(0, cols);
}

async function skipLayerNormOp(engine: Engine, record: VectorRecord, dtype: Scalar): Promise<ArrayLike<number>> {
  const x = input(record, "input");
  const cols = x.shape.at(-1)!;
  const rows = x.data.length / cols;
  const bias = optional(record, "bias");
  let floats: ArrayLike<number> = x.data;
  if (bias) {
    const shape = { rows, cols, dtype, bias: true, activation: "none" as const };
    const inputs = { x: { floats }, bias: { floats: bias.data } };
    floats = (await launch(engine, activation, shape, inputs, { out: { size: rows * cols } })).out!;
  }
  const shape = { rows, cols, eps: Number(record.attributes.epsilon), dtype, residual: true };
  const inputs = {
    x: { floats },
    residual: { floats: broadcast(input(record, "skip"), x.shape).data },
    gamma: { floats: input(record, "gamma").data },
    beta: { floats: optional(record, "beta")?.data ?? new Float64Array(cols) },
  };
  return (
    await launch(engine, layernormBy(rowReducerFor(engine.traits)), shape, inputs, { out: { size: rows * cols } })
  ).out!;
}

async function embedLayerNormOp(engine: Engine, record: VectorRecord, dtype: Scalar): Promise<ArrayLike<number>> {
  const ids = input(record, "input_ids");
  const segments = optional(record, "segment_ids");
  const positions = optional(record, "position_ids");
  const [length, hidden] = [ids.shape.at(-1)!, input(record, "word_embedding").shape[1]!];
  const tokens = Array.from(ids.data).flatMap((id, i) => {
    const position = positions ? positions.data[i % positions.data.length]! : i % length;
    return [id, segments?.data[i] ?? 0, position, 1];
  });
  const shape = {
    tokens: ids.data.length,
    hidden,
    eps: Number(record.attributes.epsilon),
    dtype,
    tokenTypes: segments !== undefined,
  };
  const types = optional(record, "segment_embedding");
  const inputs = {
    tokens: { integers: tokens },
    word: { floats: input(record, "word_embedding").data },
    position: { floats: input(record, "position_embedding").data },
    token_type: types && { floats: types.data },
    gamma: { floats: input(record, "gamma").data },
    beta: { floats: input(record, "beta").data },
  };
  return (
    await launch(engine, embedLayernormBy(rowReducerFor(engine.traits)), shape, inputs, {
      out: { size: ids.data.length * hidden },
    })
  ).out!;
}

/** Any axis: it goes first, what follows it becomes the row. */
async function gatherOp(engine: Engine, record: VectorRecord, dtype: Scalar): Promise<ArrayLike<number>> {
  requireFloats(record, "input");
  const x = input(record, "input");
  const indices = input(record, "indices");
  const axis = axisOf(Number(record.attributes.axis ?? 0), x.shape.length);
  const others = [...x.shape.keys()].filter((d) => d !== axis);
  const table = permute(x, [axis, ...others]);
  const tableRows = table.shape[0]!;
  const cols = sizeOf(table.shape.slice(1));
  const count = indices.data.length;
  // Negative indices count from the end (ONNX); what is still outside is clamped (WebNN).
  const integers = indices.data.map((index) =>
    Math.min(Math.max(index < 0 ? index + tableRows : index, 0), tableRows - 1),
  );
  const inputs = { table: { floats: table.data }, indices: { integers } };
  const shape = { count, cols, dtype, tableRows };
  const { out } = await launch(engine, gatherRows, shape, inputs, { out: { size: count * cols } });
  // [indices..., others...] -> the indices take the axis' place
  const gathered = { shape: [...indices.shape, ...others.map((d) => x.shape[d]!)], data: Float64Array.from(out!) };
  const rank = indices.shape.length;
  const before = others.filter((d) => d < axis).map((_, i) => rank + i);
  const after = others.filter((d) => d > axis).map((_, i) => rank + before.length + i);
  return permute(gathered, [...before, ...Array.from({ length: rank }, (_, i) => i), ...after]).data;
}

/** The reduced axes become the tokens of one sequence, the kept ones its hidden dimension: mean pooling. */
async function reduceMeanOp(engine: Engine, record: VectorRecord, dtype: Scalar): Promise<ArrayLike<number>> {
  const x = input(record, "input", "X");
  const given = record.attributes.axes as number[] | null | undefined;
  const axes = (given ?? [...x.shape.keys()]).map((axis) => axisOf(axis, x.shape.length));
  const kept = [...x.shape.keys()].filter((axis) => !axes.includes(axis));
  const moved = permute(x, [...axes, ...kept]);
  const count = sizeOf(axes.map((axis) => x.shape[axis]!));
  const hidden = x.data.length / count;
  const shape = { sequences: 1, hidden, dtype, mode: "mean" as const, mask: false };
  const inputs = { x: { floats: moved.data }, cu_seqlens: { integers: [0, count] } };
  return (await launch(engine, pool, shape, inputs, { out: { size: hidden } })).out!;
}
