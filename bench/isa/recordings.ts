/** The launches of BERT's forward pass and training step on a GPU that is not there, recorded on Dawn's null backend. */

import { BertModel, openModel } from "../../src/bert/model.ts";
import type { DeviceTraits, Scalar } from "../../src/kernels/kernel.ts";
import { flopsOf } from "../../src/kernels/work.ts";
import { requestDevice } from "../../src/node/device.ts";
import { Engine } from "../../src/runtime/engine.ts";
import { type Dispatch, Recorder } from "../../src/runtime/recorder.ts";
import { BYTES, sizeOf } from "../../src/runtime/tensor.ts";
import { allocateFlat } from "../../src/train/flat.ts";
import { shapesFor } from "../../src/train/initial.ts";
import { MODEL_SHAPES, type ModelShapeName, randomModel } from "../random_model.ts";
import { HEADS, LABELS, labelled, trainingSteps } from "../train.ts";
import { denseBatch } from "../workloads.ts";

/** A launch, as often as the model makes it. */
export interface Launch {
  /** `matmul_workgroup` */
  readonly kernel: string;
  /** `matmul_workgroup 128x2304x768` */
  readonly label: string;
  readonly source: string;
  readonly count: number;
  /** Of one launch, by the mathematics, and bytes if each operand travels once. */
  readonly flops: number;
  readonly bytes: number;
  readonly workgroups: number;
}

/** What is recorded: a batch of so many texts of so many tokens. */
export interface Task {
  readonly model: ModelShapeName;
  readonly pass: "forward" | "step";
  readonly dtype: Scalar;
  readonly batch: number;
  readonly tokens: number;
}

/** Words of the vocabulary: how many there are changes no kernel. */
const FEW_WORDS = 1200;

/**
 * Records a task as it would be on a device with these traits. Two models of one layer and of two tell what each further
 * layer adds.
 */
export async function recordTask(task: Task, traits: DeviceTraits): Promise<Launch[]> {
  const { layers } = MODEL_SHAPES[task.model];
  const [one, two] = [await dispatchesOf(task, 1, traits), await dispatchesOf(task, 2, traits)];
  const counts = countsOf(one);
  const more = countsOf(two);
  return [...more].map(([key, { dispatch, count }]) => {
    const first = counts.get(key)?.count ?? 0;
    const { kernel, label, source, shape, workgroups } = dispatch;
    return {
      ...{ kernel, label, source, count: first + (layers - 1) * (count - first) },
      flops: flopsOf(kernel, shape),
      bytes: bytesOf(dispatch),
      workgroups: workgroups.reduce((product, size) => product * size, 1),
    };
  });
}

/** Of operands that were given; one that is bound twice travels once. */
function bytesOf({ operands }: Dispatch): number {
  const distinct = new Set([...operands.values()].filter(({ shape }) => sizeOf(shape) > 4));
  return [...distinct].reduce((sum, { shape, dtype }) => sum + sizeOf(shape) * BYTES[dtype], 0);
}

function countsOf(dispatches: readonly Dispatch[]): Map<string, { dispatch: Dispatch; count: number }> {
  const counts = new Map<string, { dispatch: Dispatch; count: number }>();
  for (const dispatch of dispatches) {
    const key = dispatch.label + dispatch.source;
    counts.set(key, { dispatch, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return counts;
}

async function dispatchesOf(task: Task, layers: number, traits: DeviceTraits): Promise<Dispatch[]> {
  // it compiles what it chooses by itself, within its own small limits; what the GPU would be given is recorded beside
  const engine = await Engine.create({ open: () => requestDevice({ adapter: "null" }) });
  const recorded: Dispatch[] = [];
  const record = engine.record.bind(engine);
  const collect = (): void => {
    engine.record = (label, build) => {
      const recorder = new Recorder(traits);
      build(recorder);
      recorded.push(...recorder.finish().dispatches);
      return record(label, build);
    };
  };
  try {
    const labels = task.pass === "step" ? { labels: LABELS } : {};
    const shape = { ...MODEL_SHAPES[task.model], layers, vocab: FEW_WORDS, ...labels };
    const folder = randomModel(task.model, shape);
    const { sequences } = denseBatch(task.batch, task.tokens, FEW_WORDS);
    if (task.pass === "forward") {
      const model = await BertModel.load(engine, folder, { dtype: task.dtype });
      collect();
      await model.program(sequences, { lastHiddenState: true });
    } else {
      const { config, checkpoint } = await openModel(folder);
      await checkpoint.close();
      const flat = await allocateFlat(engine, config, HEADS, shapesFor(config, HEADS), task.dtype);
      collect();
      const steps = await trainingSteps(engine, config, flat, task.dtype);
      await steps.programs(labelled(sequences));
    }
  } finally {
    engine.dispose();
  }
  return recorded;
}
