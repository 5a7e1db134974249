/** A model with a LoRA adapter over it: the base's weights are shared, the adapter has its own A, B and head. */

import { type Folder, readText } from "../files/bytes.ts";
import { numbersToFloat16 } from "../files/float16.ts";
import { requireKnown } from "../files/options.ts";
import { type LinearWeights, linear } from "../runtime/ops.ts";
import { allocateTable, asTable, streamTable, type Table } from "../runtime/table.ts";
import { type Shape, Tensor } from "../runtime/tensor.ts";
import { type AdapterFile, ARCHITECTURE_OF, MERGED_CONFIG, openAdapter, unlikeBase } from "./adapter_file.ts";
import { type BertConfig, parseConfig } from "./config.ts";
import { ALL_HEADS } from "./heads/index.ts";
import { adapted, changeLinear, joinB, layerOf } from "./lora.ts";
import { BertModel, type LoadedWeights } from "./model.ts";
import { listInto, type Stored } from "./stored.ts";
import type { Pretrained } from "./tasks/pretrained.ts";
import { readSentenceModules } from "./tasks/sentence_modules.ts";

export interface AdapterOptions {
  /** Whether the base is disposed with the adapted model. Default false. */
  readonly disposeBase?: boolean | undefined;
}

/**
 * A model that computes with an adapter of PEFT over `base`, whose weights it shares: dispose it first. Its `weightBytes` are
 * the adapter's own.
 * @param folder adapter_config.json and adapter_model.safetensors; labels are those of a merged_config.json or config.json beside them
 * @throws ModelError with every fault: what is not run (DoRA and the like), shapes of another base
 */
export function loadAdapter(base: BertModel, folder: Folder, options?: AdapterOptions): Promise<BertModel>;
/** The same of a model with its tokenizer; vectors of texts are as the adapter's modules.json says, where it has one. */
export function loadAdapter(base: Pretrained, folder: Folder, options?: AdapterOptions): Promise<Pretrained>;
export async function loadAdapter(
  base: BertModel | Pretrained,
  folder: Folder,
  options: AdapterOptions = {},
): Promise<BertModel | Pretrained> {
  requireKnown("loadAdapter", options, { disposeBase: 1 });
  if (!(base instanceof BertModel)) {
    const sentence = (await readSentenceModules(folder)) ?? base.sentence;
    return { ...base, sentence, model: await loadAdapter(base.model, folder, options) };
  }
  const load = async (): Promise<LoadedWeights> => {
    const loaded = await adapt(base, await base.loaded(), folder);
    if (!options.disposeBase) return loaded;
    const { bytes } = loaded.allocation;
    const dispose = (): void => {
      loaded.allocation.dispose();
      base.dispose();
    };
    return { ...loaded, allocation: { bytes, dispose } };
  };
  return new BertModel(base.engine, folder.name, base.storage, await load(), load);
}

/** What is yet to be read. */
interface Filling {
  readonly into: Table;
  values(): Promise<Float32Array<ArrayBuffer>>;
}

async function adapt({ engine, dtype }: BertModel, base: LoadedWeights, folder: Folder): Promise<LoadedWeights> {
  const file = await openAdapter(folder);
  const allocation = engine.allocate();
  try {
    const faults: string[] = [];
    const fillings: Filling[] = [];
    const config = await configFor(folder, file, base.config);
    const allocate = (label: string, [rows, cols = 1]: Shape, values: Filling["values"]): Table => {
      const into = allocateTable(allocation, label, rows!, cols, dtype);
      fillings.push({ into, values });
      return into;
    };
    const change = changing(file, allocate, faults);
    const encoder = changeLinear(base.weights, change.of);
    const heads = headsOf(file, base, config, allocate, faults);
    const weights = { ...encoder, heads: { ...encoder.heads, ...changeLinear(heads.weights, change.of) } };
    for (const module of file.low.keys()) {
      if (!change.used.has(module)) faults.push(`${module} is adapted, the base has no such layer`);
    }
    if (faults.length > 0) throw unlikeBase(file, faults);
    await allocation.done();
    let [sum, place] = [0, 0];
    for (const { into, values } of fillings) {
      const own = await values();
      for (let i = 0; i < own.length; i += 97) sum += own[i]! * ++place;
      const elements = async function* () {
        yield dtype === "f16" ? numbersToFloat16(own) : own;
      };
      await streamTable(allocation, into, elements());
    }
    await allocation.done();
    const { parts, generation } = base;
    const has = new Set([...parts.heads, ...heads.names]);
    return {
      ...{ config, weights, generation, allocation },
      parts: { ...parts, heads: has },
      fingerprint: `${base.fingerprint} ${sum}`,
    };
  } catch (error) {
    allocation.dispose();
    throw error;
  } finally {
    await file.checkpoint.close();
  }
}

type Allocate = (label: string, shape: Shape, values: Filling["values"]) => Table;

/** Linear layers with what the adapter adds; one that several heads have is made once. */
function changing(
  { low, factor, rank, checkpoint }: AdapterFile,
  allocate: Allocate,
  faults: string[],
): {
  readonly used: ReadonlySet<string>;
  of(weights: LinearWeights, modules: readonly string[]): LinearWeights | undefined;
} {
  const used = new Set<string>();
  const made = new Map<string, LinearWeights["adapted"]>();
  const of = (weights: LinearWeights, modules: readonly string[]): LinearWeights | undefined => {
    const layer = layerOf(weights, modules, (module) => low.has(module));
    if (!layer) return undefined;
    if (weights.adapted) faults.push(`${modules.join(" + ")} has an adapter already`);
    const { blocks, outputs } = layer;
    const own = blocks.map((block) => low.get(modules[block]!)!);
    const [first] = own as [(typeof own)[0]];
    for (const [i, { inputs, outputs: out }] of own.entries()) {
      used.add(modules[blocks[i]!]!);
      const words = weights.scales ? Math.ceil(inputs / 4) : inputs; // int8 lies in fours
      if (words === weights.weight.cols && out === outputs) continue;
      faults.push(
        `${modules[blocks[i]!]} is adapted from ${inputs} to ${out}, the base has another shape: is it of another base?`,
      );
    }
    const label = modules.join(" + ");
    if (faults.length > 0) return undefined;
    if (!made.has(label)) {
      const a = allocate(`${label} A`, [own.length * rank, first.inputs], async () => {
        const parts = await Promise.all(own.map(({ a }) => checkpoint.readFloats(a)));
        return Float32Array.from(parts.flatMap((part) => Array.from(part, (value) => value * factor)));
      });
      const b = allocate(`${label} B`, [modules.length * outputs, own.length * rank], async () => {
        return joinB(layer, rank, await Promise.all(own.map(({ b }) => checkpoint.readFloats(b))));
      });
      made.set(
        label,
        adapted((r, x) => linear(r, x, { weight: a, bias: undefined }), b),
      );
    }
    return { ...weights, adapted: made.get(label) };
  };
  return { used, of };
}

/** Heads of which the adapter has tensors whole, with those of the base for the others. */
function headsOf(
  { whole, checkpoint }: AdapterFile,
  { weights }: LoadedWeights,
  config: BertConfig,
  allocate: Allocate,
  faults: string[],
): { readonly weights: Record<string, unknown>; readonly names: (typeof ALL_HEADS)[number][0][] } {
  const known = new Map<string, Table>();
  collectTables(weights, known);
  const shapes = new Map<string, Shape>();
  for (const [label, { rows, cols }] of known) shapes.set(label, cols > 1 ? [rows, cols] : [rows]);
  for (const [name, stored] of whole) shapes.set(name, checkpoint.tensors.get(stored)!.shape);
  const left = new Set(whole.keys());
  const table: Stored["table"] = (shape, [name]) => {
    const stored = whole.get(name!);
    if (stored === undefined) return known.get(name!)!;
    if (!known.has(`${name} whole`))
      known.set(
        `${name} whole`,
        allocate(name!, shape, () => checkpoint.readFloats(stored)),
      );
    return known.get(`${name} whole`)!;
  };
  const stored: Stored = {
    ...{ table, encoderTable: (shape, names) => ({ weight: table(shape, names) }) },
    tensor: (shape, name) => table(shape, [name]).parts[0]!,
  };
  const heads = ALL_HEADS.flatMap(([name, head]) => {
    if (!head.weights || head.found?.(shapes, config) === false) return [];
    const needed = new Map<string, Shape>();
    head.weights(listInto(needed), config, shapes);
    const names = [...needed.keys()];
    if (!names.some((own) => whole.has(own))) return [];
    for (const [own, shape] of needed) {
      left.delete(own);
      const found = shapes.get(own);
      if (found?.join() === shape.join()) continue;
      faults.push(
        `${own} [${shape.join(", ")}] is ${found ? `[${found.join(", ")}]` : "neither in it nor in the base"}`,
      );
    }
    return faults.length > 0 ? [] : [[name, head.weights(stored, config, shapes)] as const];
  });
  for (const name of left) faults.push(`${name} is stored whole: a head is run, and nothing below it`);
  return { weights: Object.fromEntries(heads), names: heads.map(([name]) => name) };
}

/** By their labels, without the rows of a part. */
function collectTables(tree: unknown, found: Map<string, Table>): void {
  if (tree instanceof Tensor) found.set(tree.label, asTable(tree));
  else if (typeof tree !== "object" || tree === null) return;
  else if ("parts" in tree) {
    const table = tree as Table;
    found.set(table.parts[0]!.label.replace(/ rows \d+\.\.$/, ""), table);
  } else for (const own of Object.values(tree)) collectTables(own, found);
}

/** The base's, with the task of the adapter, and the labels that its folder or its classifier tells. */
async function configFor(
  folder: Folder,
  { task = "", whole, checkpoint }: AdapterFile,
  base: BertConfig,
): Promise<BertConfig> {
  const merged = await readText(folder, MERGED_CONFIG);
  const text = merged ?? (await readText(folder, "config.json"));
  const own = text && parseConfig(text, `${folder.name}/${merged === undefined ? "config.json" : MERGED_CONFIG}`);
  const classifier = whole.get("classifier.weight");
  const count = classifier === undefined ? undefined : checkpoint.tensors.get(classifier)!.shape[0];
  const architecture = ARCHITECTURE_OF[task];
  const { labels, problemType } = own || base;
  const fits = count === undefined || labels.length === count;
  return {
    ...base,
    ...(architecture && { architectures: [architecture] }),
    labels: fits ? labels : Array.from({ length: count }, (_, i) => `LABEL_${i}`),
    problemType,
  };
}
