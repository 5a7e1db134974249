/**
 * The weights of a model that writes, as a typed tree. In a checkpoint of both parts the encoder's names begin with
 * `encoder.`, the decoder's with `decoder.bert.`; its head is `decoder.cls.predictions` (BERT) or `decoder.lm_head`
 * (BertGeneration). A causal model alone has the same without `decoder.`.
 */

import type { Checkpoint } from "../../files/checkpoint.ts";
import type { Report } from "../../files/faults.ts";
import type { Allocation } from "../../runtime/allocation.ts";
import type { LinearWeights, NormWeights } from "../../runtime/ops.ts";
import type { Shape, Tensor } from "../../runtime/tensor.ts";
import { ModelError } from "../config.ts";
import { maskedLmWeights } from "../heads/masked_lm.ts";
import { allocateInto, type Content, encoderLinear, linear, norm, type Stored, type WeightStorage } from "../stored.ts";
import {
  type BertWeights,
  encoderIn,
  faultFinder,
  type LayerWeights,
  type NamedTensors,
  nameTensors,
  settleConfig,
} from "../weights.ts";
import type { GenerationModelConfig, PartConfig } from "./config.ts";

export interface CrossWeights {
  readonly query: LinearWeights;
  /** Key and value in one matrix [2 * hidden, hidden]. */
  readonly keyValue: LinearWeights;
  readonly output: LinearWeights;
  readonly norm: NormWeights;
}

export interface DecoderLayerWeights extends LayerWeights {
  /** To what the encoder gives, where there is one. */
  readonly cross: CrossWeights | undefined;
}

export interface LanguageHeadWeights {
  /** BERT's; BertGeneration has none. */
  readonly transform: { readonly dense: LinearWeights; readonly norm: NormWeights } | undefined;
  /** To the vocabulary. */
  readonly decoder: LinearWeights;
}

type Part = Omit<BertWeights, "heads">;

export interface DecoderWeights extends Pick<Part, "embeddings"> {
  readonly layers: readonly DecoderLayerWeights[];
  readonly head: LanguageHeadWeights;
}

export interface GenerationWeights {
  readonly encoder: Part | undefined;
  readonly decoder: DecoderWeights;
  /** From the encoder's width to the decoder's, where they differ. */
  readonly projection: LinearWeights | undefined;
}

const TOKEN_TYPES = "embeddings.token_type_embeddings.weight";

/** A checkpoint's tensors under our names: `encoder.` or `decoder.`, then as `nameTensors` has them. */
export interface NamedParts extends NamedTensors {
  /** Of the decoder: tensors that it has of the encoder alone, as both are named here. */
  readonly borrowed: ReadonlyMap<string, string>;
}

/** One part of a checkpoint as a checkpoint, its head by BERT's names. */
function partOf(checkpoint: Checkpoint, prefix: string): { part: Checkpoint; fileNames: Map<string, string> } {
  const fileNames = new Map<string, string>();
  const tensors = new Map(
    [...checkpoint.tensors]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, tensor]) => {
        const own = name.slice(prefix.length).replace(/^lm_head\./, "cls.predictions.");
        fileNames.set(own, name);
        return [own, tensor];
      }),
  );
  const part: Checkpoint = {
    ...checkpoint,
    tensors,
    read: (name, range) => checkpoint.read(fileNames.get(name) ?? name, range),
  };
  return { part, fileNames };
}

/** Names of a part's tensors in the file: of one alone they begin with nothing. */
function prefixOf(config: GenerationModelConfig, part: "encoder" | "decoder"): string {
  return config.encoder ? `${part}.` : "";
}

/** As the function of the same name of BERT: a head that is said to be the word table, and is not, is not tied. */
export async function settleParts(
  config: GenerationModelConfig,
  checkpoint: Checkpoint,
  warn?: Report,
  signal?: AbortSignal,
): Promise<GenerationModelConfig> {
  const { part } = partOf(checkpoint, prefixOf(config, "decoder"));
  const decoder = (await settleConfig(config.decoder, part, warn, signal)) as PartConfig;
  return { ...config, decoder };
}

export function nameParts(config: GenerationModelConfig, checkpoint: Checkpoint): NamedParts {
  const named = {
    stored: new Map<string, string>(),
    shapes: new Map<string, Shape>(),
    twice: new Map<string, string>(),
  };
  for (const name of ["encoder", "decoder"] as const) {
    const own = config[name];
    if (!own) continue;
    const { part, fileNames } = partOf(checkpoint, prefixOf(config, name));
    const { stored, shapes, twice } = nameTensors(part, own);
    for (const [ours, inPart] of stored) {
      named.stored.set(`${name}.${ours}`, fileNames.get(inPart)!);
      named.shapes.set(`${name}.${ours}`, shapes.get(ours)!);
    }
    for (const [ours, fault] of twice) named.twice.set(`${name}.${ours}`, fault);
  }
  for (const [name, { shape }] of checkpoint.tensors) {
    if (!name.startsWith("enc_to_dec_proj.")) continue;
    named.stored.set(name, name);
    named.shapes.set(name, shape);
  }
  const borrowed = new Map<string, string>();
  if (!config.shared) return { ...named, borrowed };
  // writers keep what both parts share under one name of the two
  for (const [one, other] of [
    ["decoder", "encoder"],
    ["encoder", "decoder"],
  ] as const) {
    for (const [name, file] of [...named.stored]) {
      const missing = name.replace(`${other}.`, `${one}.`);
      if (!name.startsWith(`${other}.e`) || named.stored.has(missing)) continue; // embeddings, encoder
      named.stored.set(missing, file);
      named.shapes.set(missing, named.shapes.get(name)!);
      borrowed.set(one === "decoder" ? missing : name, one === "decoder" ? name : missing);
    }
  }
  return { ...named, borrowed };
}

/**
 * Names of one part as those of both.
 * @param blank stands for the token types of a part that has none: zeros
 */
function within(
  stored: Stored,
  prefix: string,
  { borrowed }: NamedParts,
  blank: ((shape: Shape, name: string) => Tensor) | undefined,
): Stored {
  const named = (name: string): string => borrowed.get(prefix + name) ?? prefix + name;
  return {
    tensor: (shape, name) =>
      blank && name === TOKEN_TYPES ? blank(shape, named(name)) : stored.tensor(shape, named(name)),
    table: (shape, names, rowsPerPart) => stored.table(shape, names.map(named), rowsPerPart),
    encoderTable: (shape, names) => stored.encoderTable(shape, names.map(named)),
  };
}

/** All weights. @param blank see `within` */
function generationWeightsIn(
  stored: Stored,
  config: GenerationModelConfig,
  names: NamedParts,
  blank: (shape: Shape, name: string) => Tensor,
): GenerationWeights {
  const of = (part: "encoder" | "decoder"): Stored =>
    within(stored, `${part}.`, names, config[part]?.generation ? blank : undefined);
  const { encoder, decoder } = config;
  const [own, h] = [of("decoder"), decoder.hiddenSize];
  const { layers, embeddings } = encoderIn(own, decoder);
  const cross = (i: number): CrossWeights => {
    const name = `encoder.layer.${i}.crossattention`;
    return {
      query: encoderLinear(own, [h, h], `${name}.self.query`),
      keyValue: encoderLinear(own, [h, h], `${name}.self.key`, `${name}.self.value`),
      output: encoderLinear(own, [h, h], `${name}.output.dense`),
      norm: norm(own, h, `${name}.output.LayerNorm`),
    };
  };
  return {
    encoder: encoder && encoderIn(of("encoder"), encoder),
    decoder: {
      embeddings,
      layers: layers.map((layer, i) => ({ ...layer, cross: encoder ? cross(i) : undefined })),
      head: headIn(own, decoder, names),
    },
    projection:
      encoder && encoder.hiddenSize !== h ? linear(stored, [h, encoder.hiddenSize], "enc_to_dec_proj") : undefined,
  };
}

function headIn(stored: Stored, config: PartConfig, { shapes }: NamedParts): LanguageHeadWeights {
  const own = new Map([...shapes].map(([name, shape]) => [name.replace(/^decoder\./, ""), shape]));
  if (!config.generation) {
    const { transform: dense, norm, decoder } = maskedLmWeights(stored, config, own);
    return { transform: { dense, norm }, decoder };
  }
  const name = "cls.predictions.decoder";
  const bias = own.has(`${name}.bias`) ? `${name}.bias` : "cls.predictions.bias";
  const weight = config.tieWordEmbeddings ? "embeddings.word_embeddings.weight" : `${name}.weight`;
  return {
    transform: undefined,
    decoder: linear(stored, [config.vocabSize, config.hiddenSize], name, { weight, bias }),
  };
}

/**
 * Holds a checkpoint against its configuration, without touching the GPU.
 * @throws ModelError with every fault
 */
export function checkGenerationWeights(config: GenerationModelConfig, checkpoint: Checkpoint, names: NamedParts): void {
  const nothing = (): Tensor => undefined as never; // is not used
  const faults = faultFinder(checkpoint, names)((into) => generationWeightsIn(into, config, names, nothing));
  if (faults.length > 0) throw new ModelError(checkpoint.name, [...new Set(faults)]);
}

export interface AllocatedParts {
  readonly weights: GenerationWeights;
  readonly contents: readonly Content[];
  readonly stored: ReadonlyMap<string, string>;
}

export function allocateParts(
  allocation: Allocation,
  config: GenerationModelConfig,
  names: NamedParts,
  storage: WeightStorage,
): AllocatedParts {
  const contents: Content[] = [];
  const dtype = storage === "f16" ? "f16" : "f32";
  const zeros = (shape: Shape, name: string): Tensor => allocation.tensor(name, shape, dtype); // as WebGPU makes memory
  const into = allocateInto(contents, allocation, storage);
  return { weights: generationWeightsIn(into, config, names, zeros), contents, stored: names.stored };
}
