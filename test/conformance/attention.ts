/** Attention vectors: [batch, heads, seq, dim] or [batch, seq, hidden], masks per key or per query, packed as the kernel takes them. */

import { activation, attentionKernelFor, matmulKernelFor, type Scalar } from "../../src/kernels/index.ts";
import type { Engine } from "../../src/node/index.ts";
import { launch } from "./launch.ts";
import { Skip } from "./skip.ts";
import { broadcast, type Dense, dense, permute, type VectorRecord } from "./vectors.ts";

/** Queries, keys and values as [batch, seq, heads, dim]. */
interface Heads {
  readonly q: Dense;
  readonly k: Dense;
  readonly v: Dense;
}

/** `keep[b, h, q, k]`, broadcast from what is given: 1 where a query sees a key. */
type Keep = Dense | undefined;

export async function attentionOp(engine: Engine, record: VectorRecord, dtype: Scalar): Promise<ArrayLike<number>> {
  const inputs = new Map(record.inputs.map((input) => [input.name, dense(input)]));
  const bnsh = record.attributes.layout === "BNSH";
  const heads = bnsh ? inputs.get("query")!.shape[1]! : Number(record.attributes.num_heads);
  const kvHeads = bnsh ? inputs.get("key")!.shape[1]! : Number(record.attributes.kv_num_heads ?? heads);
  const bias = inputs.get("qkv_bias");
  let biasAt = 0;
  const prepare = async (name: string, headCount: number): Promise<Dense> => {
    let tensor = inputs.get(name)!;
    if (bnsh) return permute(tensor, [0, 2, 1, 3]);
    const [batch, length, hidden] = tensor.shape as [number, number, number];
    if (bias) {
      tensor = await addBias(engine, tensor, bias.data.subarray(biasAt, biasAt + hidden), dtype);
      biasAt += hidden;
    }
    return { shape: [batch, length, headCount, hidden / headCount], data: tensor.data };
  };
  const q = await prepare("query", heads);
  const k = repeatHeads(await prepare("key", kvHeads), heads);
  const v = repeatHeads(await prepare("value", kvHeads), heads);
  const out = await attend(engine, record, { q, k, v }, keepOf(record, q, k), dtype); // [batch, seq, heads, dim]
  return bnsh ? permute(out, [0, 2, 1, 3]).data : out.data;
}

/** qkv = input @ weight + bias, then attention on its three parts. */
export async function packedAttentionOp(
  engine: Engine,
  record: VectorRecord,
  dtype: Scalar,
): Promise<ArrayLike<number>> {
  const [input, weight, bias] = ["input", "weight", "bias"].map((name) =>
    dense(record.inputs.find((i) => i.name === name)!),
  );
  if (record.inputs.some(({ name }) => name === "attention_bias"))
    throw new Skip("additive attention bias is not offered");
  const [batch, length, k] = input!.shape as [number, number, number];
  const n = weight!.shape[1]!;
  const shape = { m: batch * length, n, k, dtype, bias: true, residual: false, activation: "none" as const };
  const { out } = await launch(
    engine,
    matmulKernelFor(shape, engine.traits),
    shape,
    { x: { floats: input!.data }, weight: { floats: permute(weight!, [1, 0]).data }, bias: { floats: bias!.data } },
    { out: { size: batch * length * n } },
  );
  const heads = Number(record.attributes.num_heads);
  const sizes = (record.attributes.qkv_hidden_sizes as number[] | undefined) ?? [n / 3, n / 3, n / 3];
  let offset = 0;
  const [q, key, v] = sizes.map((size) => {
    const part = new Float64Array(batch * length * size);
    for (let row = 0; row < batch * length; row++) {
      for (let col = 0; col < size; col++) part[row * size + col] = out![row * n + offset + col]!;
    }
    offset += size;
    return { shape: [batch, length, heads, size / heads], data: part };
  });
  return (await attend(engine, record, { q: q!, k: key!, v: v! }, keepOf(record, q!, key!), dtype)).data;
}

async function addBias(engine: Engine, tensor: Dense, bias: Float64Array, dtype: Scalar): Promise<Dense> {
  const cols = tensor.shape.at(-1)!;
  const shape = { rows: tensor.data.length / cols, cols, dtype, bias: true, activation: "none" as const };
  const inputs = { x: { floats: tensor.data }, bias: { floats: bias } };
  const { out } = await launch(engine, activation, shape, inputs, { out: { size: tensor.data.length } });
  return { shape: tensor.shape, data: Float64Array.from(out!) };
}

/** Grouped queries: each key head serves several query heads. Copies, no arithmetic. */
function repeatHeads({ shape, data }: Dense, heads: number): Dense {
  const [batch, length, own, dim] = shape as [number, number, number, number];
  if (own === heads) return { shape, data };
  const result = new Float64Array(batch * length * heads * dim);
  for (let row = 0; row < batch * length; row++) {
    for (let head = 0; head < heads; head++) {
      const from = (row * own + Math.floor((head * own) / heads)) * dim;
      result.set(data.subarray(from, from + dim), (row * heads + head) * dim);
    }
  }
  return { shape: [batch, length, heads, dim], data: result };
}

function keepOf({ inputs, attributes }: VectorRecord, q: Dense, k: Dense): Keep {
  const target = [q.shape[0]!, q.shape[2]!, q.shape[1]!, k.shape[1]!];
  const mask = inputs.find(({ name }) => name === "mask");
  const attnMask = inputs.find(({ name }) => name === "attn_mask");
  if (inputs.some(({ name }) => name === "nonpad_kv_seqlen")) throw new Skip("nonpad_kv_seqlen is not offered");
  if (attnMask) {
    if (attnMask.dtype !== "bool") throw new Skip("additive attention masks are not offered");
    const { shape, data } = dense(attnMask);
    const missing = target[3]! - shape.at(-1)!; // a shorter last axis means: no more keys
    if (missing === 0) return broadcast({ shape, data }, target);
    const rows = data.length / shape.at(-1)!;
    const padded = new Float64Array(rows * target[3]!);
    for (let row = 0; row < rows; row++) {
      padded.set(data.subarray(row * shape.at(-1)!, (row + 1) * shape.at(-1)!), row * target[3]!);
    }
    return broadcast({ shape: [...shape.slice(0, -1), target[3]!], data: padded }, target);
  }
  if (!mask) return undefined;
  const { shape, data } = dense(mask);
  const keep = broadcast(
    { shape: shape.length === 2 ? [shape[0]!, 1, 1, shape[1]!] : [shape[0]!, 1, ...shape.slice(1)], data },
    target,
  );
  const unseen = visibleCounts(keep, attributes.causal === true).includes(0);
  if (unseen)
    throw new Skip(`a row sees no key and gets ${attributes.mask_filter_value}: masks here select, they do not add`);
  return keep;
}

async function attend(
  engine: Engine,
  { attributes }: VectorRecord,
  heads: Heads,
  keep: Keep,
  dtype: Scalar,
): Promise<Dense> {
  const causal = attributes.causal === true;
  const scale = attributes.scale === undefined ? {} : { scale: Number(attributes.scale) };
  const { q, k, v } = keep ? onePerQuery(heads, keep, causal) : heads;
  const [batch, length, headCount, headDim] = q.shape as [number, number, number, number];
  const valueDim = v.shape[3]!;
  const lengths = keep ? visibleCounts(keep, causal) : Array.from({ length: batch }, () => k.shape[1]!);
  const shape = {
    tokens: batch * length,
    sequences: batch,
    heads: headCount,
    headDim,
    valueDim,
    dtype,
    mask: false,
    causal: causal && !keep,
    ...scale,
  };
  const inputs = {
    q: { floats: q.data },
    k: { floats: k.data.length > 0 ? k.data : [0] },
    v: { floats: v.data.length > 0 ? v.data : [0] },
    cu_seqlens: { integers: Array.from({ length: batch + 1 }, (_, i) => i * length) },
    cu_seqlens_k: { integers: runningSums(lengths) },
  };
  const size = batch * length * headCount * valueDim;
  const { out } = await launch(engine, attentionKernelFor(shape, engine.traits), shape, inputs, { out: { size } });
  const [b, s, h] = heads.q.shape as [number, number, number];
  const result = { shape: [b, s, h, valueDim], data: Float64Array.from(out!) };
  // One sequence per (batch, head, query) comes back in that order.
  return keep ? permute({ ...result, shape: [b, h, s, valueDim] }, [0, 2, 1, 3]) : result;
}

function runningSums(counts: readonly number[]): number[] {
  const sums = [0];
  for (const count of counts) sums.push(sums.at(-1)! + count);
  return sums;
}

/** Masks by layout: each query of each head becomes a sequence of its own whose keys are those it sees. */
function onePerQuery({ q, k, v }: Heads, keep: Dense, causal: boolean): Heads {
  const [batch, heads, queries, keys] = keep.shape as [number, number, number, number];
  const rows: { q: number[]; k: number[]; v: number[] } = { q: [], k: [], v: [] };
  const row = ({ shape, data }: Dense, b: number, at: number, h: number): Float64Array => {
    const start = ((b * shape[1]! + at) * heads + h) * shape[3]!;
    return data.subarray(start, start + shape[3]!);
  };
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        rows.q.push(...row(q, b, i, h));
        for (let j = 0; j < keys; j++) {
          if (!sees(keep, b, h, i, j, causal)) continue;
          rows.k.push(...row(k, b, j, h));
          rows.v.push(...row(v, b, j, h));
        }
      }
    }
  }
  const sequences = batch * heads * queries;
  const as = (data: number[], length: number, dim: number): Dense => ({
    shape: [sequences, length, 1, dim],
    data: Float64Array.from(data),
  });
  return { q: as(rows.q, 1, q.shape[3]!), k: as(rows.k, -1, k.shape[3]!), v: as(rows.v, -1, v.shape[3]!) };
}

function visibleCounts(keep: Dense, causal: boolean): number[] {
  const [batch, heads, queries, keys] = keep.shape as [number, number, number, number];
  const counts: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        counts.push(Array.from({ length: keys }, (_, j) => sees(keep, b, h, i, j, causal)).filter(Boolean).length);
      }
    }
  }
  return counts;
}

function sees({ shape, data }: Dense, b: number, h: number, i: number, j: number, causal: boolean): boolean {
  return data[((b * shape[1]! + h) * shape[2]! + i) * shape[3]! + j] !== 0 && !(causal && j > i);
}
