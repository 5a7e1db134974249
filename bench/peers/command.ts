/** `bench peers`: the engine beside others that run the same BERT in Node. */

import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Command, Option } from "commander";
import { type CommonOptions, measures, positiveInteger } from "../command_line.ts";
import { encodeOnCpu } from "../encoder_reference.ts";
import { originOf } from "../machine.ts";
import { randomTask, requirePositions } from "../model.ts";
import { withReport } from "../outputs.ts";
import { MODEL_SHAPES, randomModel } from "../random_model.ts";
import type { Report } from "../report.ts";
import { LABELS, LEARNING_RATE, lossOnCpu, MAX_NORM, WEIGHT_DECAY } from "../train.ts";
import { denseBatch } from "../workloads.ts";
import { comparePeers, type PeerSetup } from "./compare.ts";
import { driverEnvironment } from "./driver.ts";
import { choosePeers, findPeerFiles, OUR_TRAINING, PEERS, type PeerEngine, trainingPeers } from "./engines.ts";
import { defaultInstallFolder, installPeers } from "./install.ts";
import { writeModelFiles } from "./model_files.ts";

const SHAPES = ["mini", "minilm", "base"] as const;
/** BERT's; the random models have the default of `randomModel`. */
const VOCAB = 30522;

interface PeersOptions extends Omit<CommonOptions, "dtype"> {
  readonly shape?: (typeof SHAPES)[number];
  readonly batch?: number;
  readonly tokens: number;
  readonly peers?: string;
  readonly install: string;
  readonly train?: true;
  readonly python?: string;
}

export function peersCommand(): Command {
  return measures(new Command("peers"), [])
    .description("other engines on the same weights and inputs, in turn: onnxruntime, transformers.js, tfjs, jax-js")
    .addOption(new Option("--shape <NAME>", "of the random model; mini and minilm when not given").choices(SHAPES))
    .option("--batch <N>", "sequences; 1 and 8 when not given", positiveInteger)
    .option("--tokens <N>", "of each sequence", positiveInteger, 128)
    .option("--peers <NAMES>", `parts of their names, with commas between: ${PEERS.map(({ name }) => name).join(", ")}`)
    .option("--install <DIR>", "where they are installed at first use, about 1 GB", defaultInstallFolder())
    .option(
      "--train",
      "a training step in place of the forward pass, of jax-js, tfjs and where --python says PyTorch; a batch of 8",
    )
    .option("--python <FILE>", "of --train: an interpreter that has torch and transformers, for PyTorch on the CPU")
    .action(benchPeers);
}

async function benchPeers(options: PeersOptions): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "bench-peers-"));
  process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));
  await withReport(options, (report) => measure(options, report, scratch));
}

async function measure(options: PeersOptions, report: Report, scratch: string): Promise<void> {
  const { adapter, budget, tuned = false, tokens, train = false, python } = options;
  if (python !== undefined && !train)
    throw new RangeError("--python is of --train alone: leave it out, or give --train");
  const known = train ? trainingPeers(python) : PEERS;
  const peers = options.peers === undefined ? known : choosePeers(options.peers.split(","), known);
  const models = (options.shape ? [options.shape] : SHAPES.slice(0, 2)).map((shape) => randomTask(shape, "f32"));
  for (const model of models) await requirePositions(model, [{ batch: 1, tokens }]);
  const files = findPeerFiles();
  const install = resolve(options.install);
  const env = await driverEnvironment(adapter);
  await installPeers(join(files.folder, "package.json"), install, report.progress);
  const setup: PeerSetup = {
    files,
    install,
    env,
    adapter,
    tuned,
    budget,
    onProgress: report.progress,
    onFailure: report.fail,
    async onAdapter(adapter) {
      if (!report.rows.some(({ type }) => type === "origin")) report.add(await originOf(adapter, tuned));
    },
  };
  if (train) return compareTraining(peers, options, setup, report, scratch);
  for (const { name: model, folder } of models) {
    const modelFolder = join(scratch, "model");
    report.progress(`${model}: writing it as safetensors and ONNX, computing float64`);
    await writeModelFiles(folder, modelFolder);
    // the first sequence is the same in every batch
    const expected = await encodeOnCpu(folder, denseBatch(1, tokens, VOCAB).sequences[0]!);
    for (const batch of options.batch ? [options.batch] : [1, 8]) {
      const workload = denseBatch(batch, tokens, VOCAB);
      report.addPeers(await comparePeers(peers, { model, modelFolder, scratch, workload, expected }, setup));
    }
    await rm(modelFolder, { recursive: true });
  }
}

async function compareTraining(
  peers: readonly PeerEngine[],
  { shape, batch = 8, tokens }: PeersOptions,
  setup: PeerSetup,
  report: Report,
  scratch: string,
): Promise<void> {
  const settings = { learningRate: LEARNING_RATE, weightDecay: WEIGHT_DECAY, maxNorm: MAX_NORM };
  for (const name of shape ? [shape] : SHAPES.slice(0, 2)) {
    const model = randomTask(name, "f32").name;
    const folder = randomModel(model, { ...MODEL_SHAPES[name], labels: LABELS });
    const modelFolder = join(scratch, "model");
    report.progress(`${model}: writing it, computing float64`);
    await writeModelFiles(folder, modelFolder, false);
    const workload = denseBatch(batch, tokens, VOCAB);
    const expected = Float64Array.of(await lossOnCpu(folder, workload.sequences));
    const training = { ours: OUR_TRAINING, settings };
    report.addPeers(await comparePeers(peers, { model, modelFolder, scratch, workload, expected, training }, setup));
    await rm(modelFolder, { recursive: true });
  }
}
