/** Training steps of this repository, for the script of `bench peers --train`: built into dist/checks. */

import { openModel } from "../../src/bert/model.ts";
import { createEngine, openFolder } from "../../src/node/index.ts";
import type { AdapterSummary } from "../../src/runtime/device.ts";
import { initialWeights } from "../../src/train/initial.ts";
import { labelled, trainingSteps } from "../train.ts";

export interface TrainPeerTask {
  /** Its folder. */
  readonly model: string;
  readonly adapter: string;
  readonly batch: number;
  readonly tokens: number;
  readonly ids: readonly number[];
}

/** @returns a function that takes a step and gives its loss */
export async function openTraining(
  task: TrainPeerTask,
): Promise<{ readonly step: () => Promise<number>; readonly adapter: AdapterSummary }> {
  const { batch, tokens, ids } = task;
  const engine = await createEngine({ adapter: task.adapter, tuning: false });
  const { config, checkpoint } = await openModel(openFolder(task.model));
  const { flat } = await initialWeights(engine, config, ["classifier"], "f32", checkpoint);
  await checkpoint.close();
  const steps = await trainingSteps(engine, config, flat);
  const sequences = Array.from({ length: batch }, (_, i) => ({ inputIds: ids.slice(i * tokens, (i + 1) * tokens) }));
  const examples = labelled(sequences);
  return { step: async () => (await (await steps.step([examples])).read()).loss, adapter: engine.adapter };
}
