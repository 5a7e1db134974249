/** BERT's encoder as an exporter writes it: standard operators, weights transposed for MatMul, erf GELU, an added mask. */

import type { BertConfig } from "../../src/bert/config.ts";
import type { OnnxAttribute, OnnxGraph, OnnxNode, OnnxTensor } from "./onnx.ts";

/** A stored tensor by its checkpoint name. */
export type ReadWeight = (name: string) => Promise<{ readonly shape: readonly number[]; readonly data: Float32Array }>;

const INPUTS = ["input_ids", "attention_mask", "token_type_ids"];
const OUTPUT = "last_hidden_state";
const FLOAT = 1n;
/** What a masked score is lowered by. */
const MASKED = -10000;

/** Takes ids, mask and types [batch, tokens] of any size, and gives `last_hidden_state` [batch, tokens, hidden]. */
export async function bertGraph(config: BertConfig, read: ReadWeight): Promise<OnnxGraph> {
  const { hiddenSize, numAttentionHeads: heads, numHiddenLayers: layers, layerNormEps: epsilon } = config;
  const headDim = hiddenSize / heads;
  const graph = graphBuilder();
  const { op } = graph;

  const weight = async (name: string): Promise<string> => {
    const { shape, data } = await read(name);
    return graph.tensor({ name, dims: shape, data });
  };
  const linear = async (x: string, name: string): Promise<string> => {
    const { shape, data } = await read(`${name}.weight`);
    const [rows, cols] = shape as [number, number];
    const right = { name: `${name}.weight^T`, dims: [cols, rows], data: transpose(data, rows, cols) };
    return op("Add", [op("MatMul", [x, graph.tensor(right)]), await weight(`${name}.bias`)]);
  };
  const norm = async (x: string, name: string, output?: string): Promise<string> => {
    const operands = [x, await weight(`${name}.weight`), await weight(`${name}.bias`)];
    return op("LayerNormalization", operands, { axis: -1n, epsilon }, output);
  };
  const gelu = (x: string): string => {
    const erf = op("Erf", [op("Div", [x, graph.scalar("sqrt2", Math.SQRT2)])]);
    return op("Mul", [op("Mul", [x, op("Add", [erf, graph.scalar("one", 1)])]), graph.scalar("half", 0.5)]);
  };

  const tokens = op("Gather", [op("Shape", ["input_ids"]), graph.integers("axis1", [1])]);
  const places = graph.integers(
    "places",
    Array.from({ length: config.maxPositionEmbeddings }, (_, i) => i),
  );
  const place = op("Slice", [places, graph.integers("from0", [0]), tokens, graph.integers("axis0", [0])]);
  const word = op("Gather", [await weight("embeddings.word_embeddings.weight"), "input_ids"]);
  const type = op("Gather", [await weight("embeddings.token_type_embeddings.weight"), "token_type_ids"]);
  const position = op("Gather", [await weight("embeddings.position_embeddings.weight"), place]);
  let x = await norm(op("Add", [op("Add", [word, type]), position]), "embeddings.LayerNorm");

  const mask = op("Cast", [op("Unsqueeze", ["attention_mask", graph.integers("axes12", [1, 2])])], { to: FLOAT });
  const absent = op("Sub", [graph.scalar("one", 1), mask]);
  const lowered = op("Mul", [absent, graph.scalar("masked", MASKED)]); // [batch, 1, 1, tokens]

  const split = (x: string, ...perm: bigint[]): string =>
    op("Transpose", [op("Reshape", [x, graph.integers("by_head", [0, 0, heads, headDim])])], { perm });
  for (let i = 0; i < layers; i++) {
    const layer = `encoder.layer.${i}`;
    const self = `${layer}.attention.self`;
    const q = split(await linear(x, `${self}.query`), 0n, 2n, 1n, 3n);
    const k = split(await linear(x, `${self}.key`), 0n, 2n, 3n, 1n);
    const v = split(await linear(x, `${self}.value`), 0n, 2n, 1n, 3n);
    const scores = op("Div", [op("MatMul", [q, k]), graph.scalar("sqrt_head_dim", Math.sqrt(headDim))]);
    const shares = op("Softmax", [op("Add", [scores, lowered])], { axis: -1n });
    const byToken = op("Transpose", [op("MatMul", [shares, v])], { perm: [0n, 2n, 1n, 3n] });
    const context = op("Reshape", [byToken, graph.integers("joined", [0, 0, hiddenSize])]);
    const attended = op("Add", [await linear(context, `${layer}.attention.output.dense`), x]);
    x = await norm(attended, `${layer}.attention.output.LayerNorm`);
    const inner = gelu(await linear(x, `${layer}.intermediate.dense`));
    const outer = op("Add", [await linear(inner, `${layer}.output.dense`), x]);
    x = await norm(outer, `${layer}.output.LayerNorm`, i === layers - 1 ? OUTPUT : undefined);
  }
  const dims = ["batch_size", "sequence_length"];
  return {
    name: "bert",
    inputs: INPUTS.map((name) => ({ name, type: "int64", dims })),
    outputs: [{ name: OUTPUT, type: "float", dims: [...dims, hiddenSize] }],
    ...graph.parts,
  };
}

function graphBuilder() {
  const nodes: OnnxNode[] = [];
  const tensors = new Map<string, OnnxTensor>();
  const tensor = (each: OnnxTensor): string => {
    tensors.set(each.name, each);
    return each.name;
  };
  return {
    /** The name of the operator's output. */
    op(op: string, inputs: string[], attributes: Record<string, OnnxAttribute> = {}, output?: string): string {
      const node = { op, inputs, output: output ?? `${op}_${nodes.length}`, attributes };
      nodes.push(node);
      return node.output;
    },
    tensor,
    scalar: (name: string, value: number): string => tensor({ name, dims: [], data: Float32Array.of(value) }),
    integers: (name: string, values: readonly number[]): string =>
      tensor({ name, dims: [values.length], data: BigInt64Array.from(values, BigInt) }),
    get parts() {
      return { nodes, initializers: [...tensors.values()] };
    },
  };
}

function transpose(data: Float32Array, rows: number, cols: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = data[i * cols + j]!;
  return out;
}
