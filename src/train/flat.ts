/**
 * Weights, their gradients and their moments in flat buffers that are laid out alike, so that an optimizer's step is a few
 * launches, however many tensors there are. Those that decay and those that do not lie apart. What is frozen has none of
 * that: it lies by itself, in the type of activations.
 */

import type { BertConfig } from "../bert/config.ts";
import type { StoredShapes } from "../bert/heads/head.ts";
import { ALL_HEADS, type HeadName } from "../bert/heads/index.ts";
import { allocateInto, type Content } from "../bert/stored.ts";
import { type BertWeights, encoderIn } from "../bert/weights.ts";
import type { Allocation, Room } from "../runtime/allocation.ts";
import type { Engine } from "../runtime/engine.ts";
import { type Shape, sizeOf, type Tensor } from "../runtime/tensor.ts";
import { type Frozen, NOTHING } from "./frozen.ts";
import type { Lora } from "./lora.ts";

/** A flat buffer of weights and all that belongs to it, element by element. */
export interface FlatPart {
  /** Elements: a multiple of `ALIGNED`. */
  readonly count: number;
  /** Whether weight decay applies. */
  readonly decayed: boolean;
  readonly weights: Tensor;
  /** Added to by backward passes, set to 0 by the optimizer's step. */
  readonly gradients: Tensor;
  /** Running means of the gradient and of its square. */
  readonly m: Tensor;
  readonly v: Tensor;
  /** The weights in f16, where that is what kernels read. */
  readonly copies: Tensor | undefined;
}

export type FlatKind = "weights" | "gradients" | "m" | "v" | "copies";

/** Where a tensor lies. */
export interface FlatPlace {
  readonly part: number;
  /** Its first element. */
  readonly start: number;
  readonly shape: Shape;
}

export interface FlatWeights {
  readonly parts: readonly FlatPart[];
  /** By the labels of tensors: stored names, joined by ` + ` where several lie one below the other. */
  readonly places: ReadonlyMap<string, FlatPlace>;
  /** What kernels read: in f16 the copies. */
  readonly weights: BertWeights;
  /** Which stored tensors that are trained go where, in f32, and in f16 where there are copies. */
  readonly contents: Readonly<Record<"f32" | "f16", readonly Content[]>>;
  /** Which that are frozen, in the type of activations. */
  readonly frozen: readonly Content[];
  readonly frozenBytes: number;
  /** Of a tensor of `weights`; undefined: it is frozen. */
  gradientOf(tensor: Tensor): Tensor | undefined;
  readonly bytes: number;
  dispose(): void;
}

/** Elements that tensors begin at multiples of: 256 bytes of f16, as WebGPU wants of bindings. */
export const ALIGNED = 128;

/**
 * Whether weight decay applies: not to biases, nor to what scales and shifts a normalisation, as PyTorch's examples have
 * it.
 */
export function isDecayed(label: string): boolean {
  return !/LayerNorm|bias( rows \d+\.\.)?$/.test(label);
}

/** What of a model is trained, where that is not all of it. */
export interface Partly {
  readonly frozen?: Frozen | undefined;
  /** Adapters, which it has beside the weights of a model. */
  readonly lora?: Lora | undefined;
}

/**
 * @param heads that are trained
 * @param shapes of all stored tensors
 * @throws RangeError for a tensor that no binding holds, GpuError when the memory is not there
 */
export async function allocateFlat(
  engine: Engine,
  config: BertConfig,
  heads: readonly HeadName[],
  shapes: StoredShapes,
  dtype: "f32" | "f16",
  { frozen = NOTHING, lora }: Partly = {},
): Promise<FlatWeights> {
  const allocation = engine.allocate();
  const chosen = ALL_HEADS.filter(([name]) => heads.includes(name));
  const tree = (room: Room, storage: "f32" | "f16", contents: Content[] = []): BertWeights => {
    const stored = allocateInto(contents, room, storage);
    const own = chosen.map(([name, head]) => [name, head.weights?.(stored, config, shapes)]);
    const weights = { ...encoderIn(stored, config), heads: Object.fromEntries(own) };
    return lora ? lora.adapt(stored, weights) : weights;
  };
  const { places, counts } = layOut(allocation, frozen, (room) => tree(room, "f32"));
  const partOf = ({ count, decayed }: { count: number; decayed: boolean }, i: number): FlatPart => {
    const flat = (what: string, type: "f32" | "f16"): Tensor => allocation.tensor(`${what} ${i}`, [count], type);
    return {
      count,
      decayed,
      weights: flat("weights", "f32"),
      gradients: flat("gradients", "f32"),
      m: flat("first moments", "f32"),
      v: flat("second moments", "f32"),
      copies: dtype === "f16" ? flat("weights in f16", "f16") : undefined,
    };
  };
  let parts: readonly FlatPart[] = [];
  /** Tensors of one kind, cut out of the flat ones; of what is frozen those that kernels read, of their own. */
  const roomOf = (kind: FlatKind, read: boolean): Room => ({
    // a table in f16 is split where that in f32 is
    mostBytes: kind === "copies" ? allocation.mostBytes / 2 : allocation.mostBytes,
    tensor(label, shape, type) {
      if (frozen(label)) return read ? allocation.tensor(label, shape, type) : unallocated(label, shape, type);
      const { part, start } = places.get(label)!;
      return parts[part]![kind]!.part(label, shape, start);
    },
  });
  const contents: Record<"f32" | "f16", Content[]> = { f32: [], f16: [] };
  let weights: BertWeights;
  let frozenBytes = 0;
  try {
    parts = counts.map(partOf);
    const trainedBytes = allocation.bytes;
    weights = tree(roomOf("weights", dtype === "f32"), "f32", contents.f32);
    if (dtype === "f16") weights = tree(roomOf("copies", true), "f16", contents.f16);
    frozenBytes = allocation.bytes - trainedBytes;
    await allocation.done();
  } catch (error) {
    allocation.dispose();
    throw error;
  }
  const isFrozen = ({ names }: Content): boolean => frozen(names[0]!);
  const trained = (all: readonly Content[]): Content[] => all.filter((content) => !isFrozen(content));
  const gradients = roomOf("gradients", false);
  const made = new Map<string, Tensor>();
  return {
    parts,
    places,
    weights,
    contents: { f32: trained(contents.f32), f16: trained(contents.f16) },
    frozen: contents[dtype].filter(isFrozen),
    frozenBytes,
    gradientOf({ label, shape }) {
      if (frozen(label)) return undefined;
      const known = made.get(label) ?? gradients.tensor(label, shape, "f32");
      made.set(label, known);
      return known;
    },
    bytes: allocation.bytes,
    dispose: () => allocation.dispose(),
  };
}

/** What a tree is made of looks at no memory. */
const unallocated = (label: string, shape: Shape, dtype: Tensor["dtype"]): Tensor =>
  ({ label, shape, dtype }) as Tensor;

/** Places for the tensors of a tree that are trained; nothing is allocated. */
function layOut(
  { mostBytes }: Allocation,
  frozen: Frozen,
  tree: (room: Room) => unknown,
): { places: Map<string, FlatPlace>; counts: { count: number; decayed: boolean }[] } {
  const places = new Map<string, FlatPlace>();
  const counts: { count: number; decayed: boolean }[] = [];
  const most = Math.floor(mostBytes / 4 / ALIGNED) * ALIGNED;
  tree({
    mostBytes,
    tensor(label, shape, dtype) {
      if (frozen(label)) return unallocated(label, shape, dtype);
      const size = Math.ceil(sizeOf(shape) / ALIGNED) * ALIGNED;
      const decayed = isDecayed(label);
      let part = counts.findLastIndex((part) => part.decayed === decayed);
      if (part < 0 || counts[part]!.count + size > most) part = counts.push({ count: 0, decayed }) - 1;
      places.set(label, { part, start: counts[part]!.count, shape });
      counts[part]!.count += size;
      return unallocated(label, shape, dtype);
    },
  });
  return { places, counts };
}
