/** `bench peers`: the engine beside others that run the same BERT in Node. */

import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { reportFailure } from "../../src/node/cli/failure.ts";
import { encodeOnCpu } from "../encoder_reference.ts";
import { originOf } from "../machine.ts";
import { requirePositions } from "../model.ts";
import { writeResults } from "../outputs.ts";
import { MODEL_SHAPES, randomModel } from "../random_model.ts";
import { denseBatch } from "../workloads.ts";
import { comparePeers, type PeerSetup } from "./compare.ts";
import { driverEnvironment } from "./driver.ts";
import { choosePeers, findPeerFiles, PEERS } from "./engines.ts";
import { defaultInstallFolder, installPeers } from "./install.ts";
import { writeModelFiles } from "./model_files.ts";
import { openPeersReport, type PeersReport } from "./report.ts";

const SHAPES = ["mini", "minilm", "base"] as const;
/** BERT's; the random models have the default of `randomModel`. */
const VOCAB = 30522;

interface PeersOptions {
  readonly adapter: string;
  readonly budget: number;
  readonly json: string | true | undefined;
  readonly html?: string;
  readonly tuned?: boolean;
  readonly shape?: (typeof SHAPES)[number];
  readonly batch?: number;
  readonly tokens: number;
  readonly peers?: string;
  readonly install: string;
}

export function peersCommand(): Command {
  return new Command("peers")
    .description("other engines on the same weights and inputs, in turn: onnxruntime, transformers.js, tfjs, jax-js")
    .addOption(new Option("--shape <NAME>", "of the random model; mini and minilm when not given").choices(SHAPES))
    .option("--batch <N>", "sequences; 1 and 8 when not given", wholeNumber)
    .option("--tokens <N>", "of each sequence", wholeNumber, 128)
    .option("--peers <NAMES>", `parts of their names, with commas between: ${PEERS.map(({ name }) => name).join(", ")}`)
    .option("--install <DIR>", "where they are installed at first use, about 1 GB", defaultInstallFolder())
    .action((_: unknown, command: Command) => benchPeers(command.optsWithGlobals()));
}

async function benchPeers(options: PeersOptions): Promise<void> {
  const report = openPeersReport(options.json);
  const scratch = await mkdtemp(join(tmpdir(), "bench-peers-"));
  const clean = (): void => rmSync(scratch, { recursive: true, force: true });
  // a run that was refused leaves the files of another as they are
  const write = async (): Promise<void> => {
    if (report.rows.length > 0) await writeResults(report, options.html);
  };
  const stop = (code: number): void => {
    write().then(
      () => process.exit(code),
      (error: unknown) => process.exit(reportFailure(error)),
    );
  };
  process.once("exit", clean);
  process.once("SIGINT", () => stop(130));
  process.once("SIGTERM", () => stop(143));
  try {
    await measure(options, report, scratch);
  } finally {
    clean();
    process.removeListener("exit", clean);
    await write();
  }
}

async function measure(options: PeersOptions, report: PeersReport, scratch: string): Promise<void> {
  const peers = options.peers === undefined ? PEERS : choosePeers(options.peers.split(","));
  const models = (options.shape ? [options.shape] : SHAPES.slice(0, 2)).map((shape) => {
    const { layers, hidden } = MODEL_SHAPES[shape];
    const name = `${shape} ${layers}x${hidden}`;
    return { shape, name, folder: randomModel(name, MODEL_SHAPES[shape]), dtype: "f32" as const };
  });
  for (const model of models) await requirePositions(model, [{ batch: 1, tokens: options.tokens }]);
  const files = findPeerFiles();
  const install = resolve(options.install);
  const env = await driverEnvironment(options.adapter);
  await installPeers(join(files.folder, "package.json"), install, report.progress);
  let told = false;
  const setup: PeerSetup = {
    files,
    install,
    env,
    adapter: options.adapter,
    tuned: options.tuned ?? false,
    budget: options.budget,
    onProgress: report.progress,
    onFailure(name, { message }) {
      report.add({ type: "failure", name, message });
      process.exitCode = 1;
    },
    async onAdapter(adapter) {
      if (told) return;
      told = true;
      report.add({
        type: "origin",
        tool: "bert-webgpu bench",
        version: 1,
        ...(await originOf(adapter)),
        tuned: setup.tuned,
      });
    },
  };
  for (const { shape, name: model, folder } of models) {
    const modelFolder = join(scratch, shape);
    report.progress(`${model}: writing it as safetensors and ONNX, computing float64`);
    await writeModelFiles(folder, modelFolder);
    // the first sequence is the same in every batch
    const expected = await encodeOnCpu(folder, denseBatch(1, options.tokens, VOCAB).sequences[0]!);
    for (const batch of options.batch ? [options.batch] : [1, 8]) {
      const workload = denseBatch(batch, options.tokens, VOCAB);
      const rows = await comparePeers(peers, { model, modelFolder, scratch, workload, expected }, setup);
      for (const row of rows) report.add(row);
      report.table(rows);
    }
    await rm(modelFolder, { recursive: true });
  }
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("it must be a whole number from 1");
  return Number(text);
}
