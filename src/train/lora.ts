/** Training of low-rank adapters: which layers of a model have one, what is trained beside them, and how they are recorded. */

import { type AdaptedLayer, adapted, changeLinear, layerOf } from "../bert/lora.ts";
import type { Stored } from "../bert/stored.ts";
import type { BertWeights } from "../bert/weights.ts";
import { dropout } from "../kernels/rows/backward.ts";
import { type LinearWeights, linear, scalar } from "../runtime/ops.ts";
import type { Recorder, Ref } from "../runtime/recorder.ts";
import type { Table } from "../runtime/table.ts";
import { type Shape, sizeOf } from "../runtime/tensor.ts";
import type { Frozen } from "./frozen.ts";

export interface LoraOptions {
  /** Of A and B: r of PEFT. */
  readonly rank: number;
  /** What they add is multiplied by alpha / rank. Default 8, as in PEFT. */
  readonly alpha?: number | undefined;
  /** Last parts of names of linear layers, such as query, value, dense, or more of them. Default query and value. */
  readonly targets?: readonly string[] | undefined;
  /** Of elements of the inputs of A. Default 0. */
  readonly dropout?: number | undefined;
  /** What adapter_config.json names as the base. Default: the folder that training begins with. */
  readonly baseModel?: string | undefined;
}

/** How a layer is adapted, beside `AdaptedLayer`. */
export interface LowRank {
  readonly layer: AdaptedLayer;
  readonly rank: number;
  /** [blocks * rank, in] */
  readonly a: Table;
  /** [out, blocks * rank] */
  readonly b: Table;
  /** alpha / rank */
  readonly factor: number;
  readonly dropout: number;
}

export interface TrainedLinear extends LinearWeights {
  readonly low?: LowRank | undefined;
}

/** Adapters of a model that is trained. */
export interface Lora {
  readonly options: Required<Omit<LoraOptions, "baseModel">>;
  /** Modules that are trained whole, as PEFT's `modules_to_save`. */
  readonly whole: readonly string[];
  readonly frozen: Frozen;
  /** Of A and B, by the names of their contents. */
  readonly shapes: ReadonlyMap<string, Shape>;
  /** Those of the contents that are B. */
  readonly layers: ReadonlyMap<string, AdaptedLayer>;
  adapt(stored: Stored, weights: BertWeights): BertWeights;
}

/** A head that is new with a task is trained whole. */
const HEADS = ["classifier", "qa_outputs"];

/**
 * @param shapes of all stored tensors of the model
 * @param random whether a tensor begins random: a pooler that does is trained whole
 * @throws RangeError for options that make no sense, and for targets that name no layer
 */
export function loraOf(
  { rank, alpha = 8, targets = ["query", "value"], dropout: probability = 0 }: LoraOptions,
  shapes: ReadonlyMap<string, Shape>,
  random: (name: string) => boolean,
): Lora {
  const faults: string[] = [];
  if (!(Number.isInteger(rank) && rank >= 1)) faults.push(`rank is ${rank}, it must be an integer from 1`);
  if (!(Number.isFinite(alpha) && alpha > 0)) faults.push(`alpha is ${alpha}, it must be a number above 0`);
  if (!(probability >= 0 && probability < 1))
    faults.push(`dropout is ${probability}, it must be from 0 to less than 1`);
  const modules = [...shapes.keys()].filter((name) => /(dense|query|key|value)\.weight$/.test(name)).map(moduleOf);
  const matches = (module: string, target: string): boolean => module === target || module.endsWith(`.${target}`);
  const odd = targets.filter((target) => !modules.some((module) => matches(module, target)));
  if (odd.length > 0 || targets.length === 0) {
    const last = [...new Set(modules.map((module) => module.split(".").at(-1)))];
    faults.push(`targets ${JSON.stringify(odd)} name no linear layer; there are ${last.join(", ")}`);
  }
  if (faults.length > 0) throw new RangeError(`lora: ${faults.join("; ")}`);
  const whole = HEADS.filter((head) => shapes.has(`${head}.weight`));
  if (random("pooler.dense.weight")) whole.push("pooler");
  const isWhole = (label: string): boolean => whole.some((module) => label.startsWith(`${module}.`));
  const isAdapted = (module: string): boolean =>
    modules.includes(module) && !isWhole(module) && targets.some((target) => matches(module, target));
  const own = new Map<string, Shape>();
  const layers = new Map<string, AdaptedLayer>();
  const all = modules.flatMap((module) => {
    const self = /^(.*\.self)\.(query|key|value)$/.exec(module);
    if (self === null) return [[module]];
    return self[2] === "query" ? [["query", "key", "value"].map((name) => `${self[1]}.${name}`)] : [];
  });
  for (const group of all) {
    const [outputs, inputs] = shapes.get(`${group[0]}.weight`)! as [number, number];
    const blocks = group.flatMap((module, i) => (isAdapted(module) ? [i] : []));
    if (blocks.length === 0) continue;
    for (const block of blocks) own.set(nameOfA(group[block]!), [rank, inputs]);
    own.set(nameOfB(group), [group.length * outputs, blocks.length * rank]);
    layers.set(nameOfB(group), { modules: group, blocks, inputs, outputs });
  }
  const factor = alpha / rank;
  return {
    options: { rank, alpha, targets, dropout: probability },
    whole,
    frozen: (label) => !isWhole(label) && !/\.lora_[AB]\b/.test(label),
    shapes: own,
    layers,
    adapt: (stored, weights) =>
      changeLinear(weights, (linear, modules) => {
        const layer = layerOf(linear, modules, isAdapted);
        if (!layer) return undefined;
        const a = stored.table(
          [rank, layer.inputs],
          layer.blocks.map((block) => nameOfA(modules[block]!)),
        );
        const b = stored.table(own.get(nameOfB(modules))!, [nameOfB(modules)]);
        const low: LowRank = { layer, rank, a, b, factor, dropout: probability };
        const evaluated = (r: Recorder, x: Ref): Ref => lowOf(r, x, low);
        return { ...linear, low, adapted: adapted(evaluated, b) } satisfies TrainedLinear;
      }),
  };
}

/** factor * A x, [rows, blocks * rank] */
export function lowOf(r: Recorder, x: Ref, { a, factor }: Pick<LowRank, "a" | "factor">): Ref {
  return scale(r, linear(r, x, { weight: a, bias: undefined }), factor);
}

/** factor * x: a launch of the dropout kernel, which multiplies by a factor, that drops nothing. As narrow as the rank. */
export function scale(r: Recorder, x: Ref, factor: number): Ref {
  const out = r.temporary("scaled", x.shape, x.dtype);
  const none = { probability: 0, residual: false, seed: 0, step: 0, tensor: 0 };
  r.dispatch(dropout, { count: sizeOf(x.shape), dtype: scalar(x), factor, ...none }, { x, out });
  return out;
}

const moduleOf = (name: string): string => name.replace(/\.weight$/, "");
const nameOfA = (module: string): string => `${module}.lora_A.weight`;
/** Of query, key and value together, which no file has: their B is one. */
const nameOfB = (modules: readonly string[]): string =>
  modules.length > 1 ? `${modules[0]!.replace(/\.\w+$/, "")}.lora_B.weight` : `${modules[0]}.lora_B.weight`;
