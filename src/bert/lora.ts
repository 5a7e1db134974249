/**
 * Low-rank adapters (LoRA): y = W x + b + B A x, in a tree of weights and in the names of PEFT's files. Layers that lie as
 * one, as query, key and value do, have one A [targets * rank, in], the A of each below the other, and one B
 * [out, targets * rank], in which each has a block of its own; all else of it is 0.
 */

import { activate, type LinearOptions, type LinearWeights, linear } from "../runtime/ops.ts";
import type { Recorder, Ref } from "../runtime/recorder.ts";
import type { Table } from "../runtime/table.ts";

/** A linear layer that is adapted: the modules of transformers that it consists of, and which of them have an A and a B. */
export interface AdaptedLayer {
  /** `encoder.layer.0.attention.self.query` and the like, one below the other. */
  readonly modules: readonly string[];
  /** Of `modules`, those that are adapted, by their places. */
  readonly blocks: readonly number[];
  readonly inputs: number;
  /** Of one module. */
  readonly outputs: number;
}

/**
 * The tree with other linear layers in it.
 * @param change gives the layer that stands in its place; undefined leaves it
 */
export function changeLinear<Tree>(
  tree: Tree,
  change: (weights: LinearWeights, modules: readonly string[]) => LinearWeights | undefined,
): Tree {
  if (Array.isArray(tree)) return tree.map((item) => changeLinear(item, change)) as Tree;
  if (typeof tree !== "object" || tree === null || Object.getPrototypeOf(tree) !== Object.prototype) return tree;
  if ("parts" in tree) return tree; // a table
  if ("weight" in tree) return (change(tree as never, modulesOf(tree as never)) as Tree | undefined) ?? tree;
  return Object.fromEntries(Object.entries(tree).map(([name, own]) => [name, changeLinear(own, change)])) as Tree;
}

/** What a layer consists of, by the label of its weight. */
function modulesOf({ weight }: LinearWeights): string[] {
  const label = weight.parts[0]!.label.replace(/ rows \d+\.\.$/, "");
  return label.split(" + ").map((name) => name.replace(/\.weight$/, ""));
}

/** @param isAdapted whether a module has an A and a B */
export function layerOf(
  { weight }: LinearWeights,
  modules: readonly string[],
  isAdapted: (module: string) => boolean,
): AdaptedLayer | undefined {
  const blocks = modules.flatMap((module, i) => (isAdapted(module) ? [i] : []));
  if (blocks.length === 0) return undefined;
  return { modules, blocks, inputs: weight.cols, outputs: weight.rows / modules.length };
}

/**
 * A layer with what its adapter adds: another matmul or two.
 * @param low A x, multiplied by alpha / rank
 * @param b B
 */
export function adapted(low: (r: Recorder, x: Ref) => Ref, b: Table): typeof linear {
  return (r, x, weights, { activation = "none", residual }: LinearOptions = {}) => {
    if (residual && activation !== "none") throw new TypeError("an adapted layer takes an activation or a residual");
    const plain = linear(r, x, { ...weights, adapted: undefined }, { residual });
    const out = linear(r, low(r, x), { weight: b, bias: undefined }, { residual: plain });
    return activation === "none" ? out : activate(r, out, activation);
  };
}

/**
 * B of a layer, whole.
 * @param parts of each block, [outputs, rank]
 */
export function joinB(
  { modules, blocks, outputs }: AdaptedLayer,
  rank: number,
  parts: readonly Float32Array[],
): Float32Array<ArrayBuffer> {
  const cols = blocks.length * rank;
  const whole = new Float32Array(modules.length * outputs * cols);
  for (const [i, block] of blocks.entries()) {
    for (let row = 0; row < outputs; row++) {
      whole.set(parts[i]!.subarray(row * rank, (row + 1) * rank), (block * outputs + row) * cols + i * rank);
    }
  }
  return whole;
}

/** The inverse of `joinB`. */
export function splitB(
  { blocks, outputs }: AdaptedLayer,
  rank: number,
  whole: Float32Array,
): Float32Array<ArrayBuffer>[] {
  const cols = blocks.length * rank;
  return blocks.map((block, i) => {
    const part = new Float32Array(outputs * rank);
    for (let row = 0; row < outputs; row++) {
      const at = (block * outputs + row) * cols + i * rank;
      part.set(whole.subarray(at, at + rank), row * rank);
    }
    return part;
  });
}

/** The name in PEFT's file of A or B of a module, or of what is stored whole. @param name with `bert.` where it has it */
export const peftName = (name: string): string => `base_model.model.${name}`;
