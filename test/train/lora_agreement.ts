/** The fixture of an adapter: its logits, gradients and steps against those of PEFT and PyTorch in float64. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { prepareForward, recordForward } from "../../src/bert/forward.ts";
import type { HeadName } from "../../src/bert/heads/index.ts";
import { peftName, splitB } from "../../src/bert/lora.ts";
import { openFolder } from "../../src/node/folder.ts";
import type { Engine } from "../../src/runtime/engine.ts";
import { restoreAdapter } from "../../src/train/adapter_files.ts";
import { initialWeights, shapesFor } from "../../src/train/initial.ts";
import { type Lora, loraOf } from "../../src/train/lora.ts";
import { publishedName } from "../../src/train/model_folder.ts";
import { TrainingSteps } from "../../src/train/step.ts";
import { type Finding, numberFinding } from "../reference/fixture.ts";
import {
  compareGradients,
  compareWeights,
  F16_SCALE,
  LOSS,
  largestApart,
  NO_DROPOUT,
  SCALE_AT,
  valuesOf,
} from "./agreement.ts";
import { checkpointOf, type Expected, examplesOf, type Fixture, tensorsIn } from "./fixtures.ts";

type Tensors = Map<string, Float32Array>;

export interface ExpectedLora extends Expected {
  readonly logits: { readonly data: readonly number[] };
}

/** Of logits in f32, whose noise in PyTorch's float32 is 1e-7; in f16 forty roundings, as of gradients. */
const LOGITS = { f32: 2e-6, f16: 40 * 2 ** -11 };

export async function* loraFindings(
  engine: Engine,
  { folder, expected, config, heads, objectives }: Fixture<ExpectedLora>,
  dtype: "f32" | "f16",
): AsyncGenerator<Finding> {
  const json = JSON.parse(readFileSync(join(folder, "adapter/adapter_config.json"), "utf8"));
  const options = { rank: json.r, alpha: json.lora_alpha, targets: json.target_modules };
  const lora = loraOf(options, shapesFor(config, heads), () => false);
  const checkpoint = await checkpointOf(folder);
  const partly = { frozen: lora.frozen, lora };
  const { flat } = await initialWeights(engine, config, heads, dtype, checkpoint, partly);
  await checkpoint.close();
  await restoreAdapter(engine, { config, heads }, lora, flat, openFolder(join(folder, "adapter")));
  const model = { config, dtype, weights: flat.weights, dropout: NO_DROPOUT };
  const run = { learningRate: 1e-3, schedule: "constant", maxGradNorm: 0, totalSteps: 3 } as const;
  const steps = await TrainingSteps.create(engine, model, flat, objectives, run);
  const examples = examplesOf(expected.inputs, objectives);

  const prepared = prepareForward(
    examples.map(({ sequence }) => sequence),
    { logits: true },
    config,
  );
  const program = await engine.record("logits", (r) => void recordForward(r, prepared, model));
  const { tokens, cuSeqlens } = prepared.batch;
  const logits = (await program.run({ tokens, cuSeqlens })).logits as Float32Array;
  yield numberFinding("logits", largestApart(logits, expected.logits.data), LOGITS[dtype]);

  if (dtype === "f16") steps.state.write(new Uint32Array(Float32Array.of(F16_SCALE).buffer), SCALE_AT);
  await steps.gradients(examples);
  const got = asInFile(await valuesOf(engine, flat, "gradients", dtype === "f16" ? 1 / F16_SCALE : 1), lora, heads);
  yield* compareGradients("gradient of", got, await fileOf(folder, "grads"), expected, dtype);
  steps.dispose();
  if (dtype === "f32") {
    const own = await TrainingSteps.create(engine, model, flat, objectives, run);
    for (const { gradients } of flat.parts) gradients.write(new Float32Array(gradients.shape[0]!));
    for (let step = 1; step <= 3; step++) {
      const { loss } = await (await own.step([examples])).read();
      if (step === 1) yield numberFinding("loss", Math.abs(loss - expected.loss), LOSS);
    }
    const before = await fileOf(folder, "adapter/adapter_model");
    const after = asInFile(await valuesOf(engine, flat, "weights"), lora, heads);
    yield* compareWeights("after three steps", after, await fileOf(folder, "step3"), before, new Set());
    own.dispose();
  }
  flat.dispose();
}

/** Under the names of the adapter's file. */
function asInFile(tensors: Tensors, lora: Lora, heads: readonly HeadName[]): Tensors {
  const named: Tensors = new Map();
  for (const [name, values] of tensors) {
    const layer = lora.layers.get(name);
    if (!layer) named.set(peftName(publishedName(name, heads)), values);
    for (const [i, part] of (layer ? splitB(layer, lora.options.rank, values) : []).entries()) {
      named.set(peftName(publishedName(`${layer!.modules[layer!.blocks[i]!]}.lora_B.weight`, heads)), part);
    }
  }
  return named;
}

async function fileOf(folder: string, name: string): Promise<Tensors> {
  const tensors = await tensorsIn(join(folder, `${name}.safetensors`));
  return new Map([...tensors].map(([key, values]) => [key.replace(".modules_to_save.", "."), values]));
}
