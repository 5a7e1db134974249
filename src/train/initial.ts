/** Weights to begin with: those of a checkpoint, and for what it lacks random ones, as transformers initialises BERT. */

import type { BertConfig } from "../bert/config.ts";
import type { StoredShapes } from "../bert/heads/head.ts";
import { ALL_HEADS, type HeadName } from "../bert/heads/index.ts";
import { listInto } from "../bert/stored.ts";
import { encoderIn, nameTensors } from "../bert/weights.ts";
import type { Checkpoint } from "../files/checkpoint.ts";
import { numbersToFloat16 } from "../files/float16.ts";
import type { Engine } from "../runtime/engine.ts";
import { streamTable, type Table } from "../runtime/table.ts";
import { type Shape, sizeOf } from "../runtime/tensor.ts";
import { allocateFlat, type FlatWeights, type Partly } from "./flat.ts";
import { NOTHING } from "./frozen.ts";

/** Elements of a slice. */
const SLICE = 1_048_576;

/** The shapes of all tensors that a model with these heads has: those of the checkpoint, of its classifier as wanted. */
export function shapesFor(config: BertConfig, heads: readonly HeadName[]): StoredShapes {
  const shapes = new Map<string, Shape>([
    ["classifier.weight", [config.labels.length, config.hiddenSize]],
    ["cls.predictions.bias", [config.vocabSize]],
  ]);
  const listed = new Map<string, Shape>();
  const stored = listInto(listed);
  encoderIn(stored, config);
  for (const [name, head] of ALL_HEADS) if (heads.includes(name)) head.weights?.(stored, config, shapes);
  return listed;
}

export interface InitialOptions extends Partly {
  readonly seed?: number;
  /** Of random ones: config.json's `initializer_range`. */
  readonly deviation?: number;
}

export interface InitialWeights {
  readonly flat: FlatWeights;
  /** Names of tensors of the model that are random. */
  readonly random: readonly string[];
  /** Of what is frozen: the sum of every 97th value, weighed by its place. */
  readonly fingerprint: number;
}

/**
 * Weights on the GPU with all that training takes.
 * @param checkpoint where they come from; undefined: all are random
 * @throws RangeError for a tensor of the checkpoint that has another shape, and for one that it lacks and that is frozen
 */
export async function initialWeights(
  engine: Engine,
  config: BertConfig,
  heads: readonly HeadName[],
  dtype: "f32" | "f16",
  checkpoint: Checkpoint | undefined,
  { seed = 0, deviation = 0.02, frozen = NOTHING, lora }: InitialOptions = {},
): Promise<InitialWeights> {
  const stored = shapesFor(config, heads);
  const shapes = new Map([...stored, ...(lora?.shapes ?? [])]);
  const named = checkpoint && nameTensors(checkpoint, config);
  const lacking = [...stored.keys()].filter((name) => frozen(name) && !named?.shapes.has(name));
  if (lacking.length > 0) {
    const most = lacking.slice(0, 3).join(", ") + (lacking.length > 3 ? " and others" : "");
    throw new RangeError(`frozen, ${most} would begin random and stay so: they are not in the checkpoint`);
  }
  const flat = await allocateFlat(engine, config, heads, stored, dtype, { frozen, lora });
  const random = new Set<string>();
  const elements = async function* (names: readonly string[], type: "f32" | "f16") {
    for (const name of names) {
      const shape = shapes.get(name)!;
      // where a decoder's bias has both names, the decoder's is what is computed with
      const decoder = name === "cls.predictions.bias" ? "cls.predictions.decoder.bias" : name;
      const known = named?.shapes.has(decoder) ? decoder : name;
      const found = named?.shapes.get(known);
      if (found && found.join() !== shape.join() && !name.startsWith("classifier.")) {
        throw new RangeError(`${name} is [${found.join(", ")}] in the checkpoint, [${shape.join(", ")}] is trained`);
      }
      if (found && found.join() === shape.join()) yield* checkpoint!.chunks(named!.stored.get(known)!, type);
      else {
        if (stored.has(name)) random.add(name);
        const own = seedFor(name, seed);
        const drawn = { normal: normals(own), uniform: uniforms(own) };
        for (const values of initialOf(name, shape, config, deviation, drawn)) {
          yield type === "f16" ? numbersToFloat16(values) : values;
        }
      }
    }
  };
  let [fingerprint, place] = [0, 0];
  const noted = async function* (names: readonly string[]) {
    for await (const chunk of elements(names, dtype)) {
      for (let i = 0; i < chunk.length; i += 97) fingerprint += chunk[i]! * (place + i + 1);
      place += chunk.length;
      yield chunk;
    }
  };
  const allocation = engine.allocate(); // for its flushes
  try {
    for (const type of ["f32", "f16"] as const) {
      for (const { into, names } of flat.contents[type]) {
        await streamTable(allocation, into as Table, elements(names, type));
      }
    }
    for (const { into, names } of flat.frozen) await streamTable(allocation, into as Table, noted(names));
    await allocation.done();
  } catch (error) {
    flat.dispose();
    throw error;
  }
  return { flat, random: [...random], fingerprint };
}

/**
 * As transformers: normal for matrices, 0 for biases and for the padding's row, 1 for what scales a normalisation. As PEFT:
 * A uniform within 1 / sqrt(in), B 0.
 */
function* initialOf(
  name: string,
  shape: Shape,
  { padTokenId, hiddenSize }: BertConfig,
  deviation: number,
  random: { normal(): number; uniform(): number },
): Generator<Float32Array<ArrayBuffer>> {
  const size = sizeOf(shape);
  const bound = 1 / Math.sqrt(shape.at(-1)!);
  const next = name.includes(".lora_A.")
    ? (): number => (2 * random.uniform() - 1) * bound
    : (): number => random.normal() * deviation;
  const constant = /bias$|lora_B/.test(name) ? 0 : name.endsWith("LayerNorm.weight") ? 1 : undefined;
  const padding = name === "embeddings.word_embeddings.weight" ? padTokenId * hiddenSize : Number.POSITIVE_INFINITY;
  for (let begin = 0; begin < size; begin += SLICE) {
    yield Float32Array.from({ length: Math.min(SLICE, size - begin) }, (_, i) => {
      const at = begin + i;
      const value = constant ?? next();
      return at >= padding && at < padding + hiddenSize ? 0 : value;
    });
  }
}

/** Each tensor has numbers of its own, and others from another seed (FNV-1a). */
function seedFor(name: string, seed: number): number {
  return [...name].reduce((hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 16777619), seed ^ 0x811c9dc5);
}

/** Normal random numbers, the same for the same seed: `uniforms` by Box and Muller. */
export function normals(seed: number): () => number {
  const next = uniforms(seed);
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** Random numbers from 0 to less than 1, the same for the same seed (mulberry32). */
export function uniforms(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
