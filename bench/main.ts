/** `bench`: how close the kernels come to what the machine can do, and how fast the models are. */

import { readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import type { DeviceTraits } from "../src/kernels/kernel.ts";
import { createEngine, type Engine, openFolder } from "../src/node/index.ts";
import { measureCeilings } from "./ceilings.ts";
import { comparisonText } from "./compare.ts";
import { ladderTask, shapedTasks, typicalTasks } from "./kernel_cases.ts";
import type { KernelTask, Select } from "./kernels.ts";
import { originOf } from "./machine.ts";
import { type BatchTask, benchModel, type ModelTask } from "./model.ts";
import { MODEL_SHAPES, type ModelShapeName, randomModel } from "./random_model.ts";
import { openReport, parseRows } from "./report.ts";
import type { CeilingRow } from "./rows.ts";

/** Of every command. */
interface CommonOptions {
  readonly adapter: string;
  readonly dtype: "f32" | "f16";
  readonly budget: number;
  readonly json: string | true | undefined;
  readonly full?: true;
}

interface QuickOptions extends CommonOptions {
  readonly compare?: readonly string[];
}

interface KernelOptions extends CommonOptions {
  readonly shape?: readonly number[];
}

interface ModelOptions extends CommonOptions {
  readonly model?: string;
  readonly shape?: ModelShapeName;
  readonly batch?: number;
  readonly tokens?: number;
  readonly ragged?: true;
}

const STANDARD_BATCHES: readonly BatchTask[] = [{ batch: 1, tokens: 128 }, { batch: 8, tokens: 128 }, "ragged"];

/** Operations a second below which the plainest matmul of 1024^3 would take minutes. */
const SLOW = 25e9;

interface Session {
  readonly engine: Engine;
  readonly traits: DeviceTraits;
  readonly dtype: "f32" | "f16";
  readonly ceilings: readonly CeilingRow[];
  readonly options: Parameters<typeof benchModel>[3] & Parameters<KernelTask["measure"]>[3];
}

async function withSession(
  { adapter, dtype, budget, json }: CommonOptions,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  const report = openReport(json, console.log);
  process.once("SIGINT", () => {
    report.finish();
    process.exit(130);
  });
  const engine = await createEngine({ adapter, preciseTimestamps: true });
  try {
    if (dtype === "f16" && !engine.hasF16) {
      throw new Error(`--dtype f16 needs the feature shader-f16, which ${engine.adapter.name} lacks`);
    }
    report.add({ type: "origin", tool: "bert-webgpu bench", version: 1, ...(await originOf(engine.adapter)) });
    report.progress("ceilings");
    const ceilings = await measureCeilings(engine, budget);
    for (const row of ceilings) report.add(row);
    const onFailure = (name: string, { message }: Error): void => {
      report.add({ type: "failure", name, message });
      process.exitCode = 1;
    };
    const options = { budget, ceilings, onRow: report.add, onProgress: report.progress, onFailure };
    const traits = { limits: engine.device.limits, software: engine.adapter.software };
    await work({ engine, traits, dtype, ceilings, options });
  } finally {
    report.finish();
    engine.dispose();
  }
}

async function benchAll({ full, compare, ...common }: QuickOptions): Promise<void> {
  if (compare) return printComparison(compare);
  await withSession(common, async (session) => {
    await runKernels(session, typicalTasks(session.traits), (_, place) => full === true || place === 0);
    await runKernels(session, [ladderTask(ladderSize(session))], () => true);
    for (const shape of standardShapes(full)) {
      await runModel(session, randomTask(shape, common.dtype), full ? STANDARD_BATCHES : STANDARD_BATCHES.slice(0, 1));
    }
  });
}

async function benchKernels(name = "", { shape, ...common }: KernelOptions): Promise<void> {
  const named: Select = (kernel) => kernel.startsWith(name);
  await withSession(common, async (session) => {
    const standard = [...typicalTasks(session.traits), ladderTask(ladderSize(session))];
    const tasks = shape ? shapedTasks(shape) : standard;
    const chosen = tasks.filter(({ kernels }) => kernels.some(named));
    if (chosen.length === 0) {
      const known = [...new Set(standard.flatMap(({ kernels }) => kernels))].join(", ");
      const taking = shape ? ` and takes ${shape.length} sizes` : "";
      throw new Error(`there is no kernel whose name begins with "${name}"${taking}; all kernels: ${known}`);
    }
    await runKernels(session, chosen, named);
  });
}

async function runKernels(
  { engine, dtype, options }: Session,
  tasks: readonly KernelTask[],
  select: Select,
): Promise<void> {
  for (const task of tasks) {
    await task
      .measure(engine, select, dtype, options)
      .catch((error: Error) => options.onFailure(`${task.kernels.join(", ")} ${dtype}`, error));
  }
}

function ladderSize({ ceilings }: Session): number {
  return ceilings.find(({ name }) => name === "arithmetic")!.perSecond < SLOW ? 512 : 1024;
}

async function benchModels({ model, shape, batch, tokens, ragged, full, ...common }: ModelOptions): Promise<void> {
  const { dtype } = common;
  const shapes: ModelShapeName[] = shape ? [shape] : standardShapes(full);
  const models: ModelTask[] = model
    ? [{ name: basename(resolve(model)), folder: openFolder(model), dtype }]
    : shapes.map((name) => randomTask(name, dtype));
  const dense: BatchTask[] = batch || tokens ? [{ batch: batch ?? 1, tokens: tokens ?? 128 }] : [];
  const asked: BatchTask[] = ragged ? [...dense, "ragged"] : dense;
  await withSession(common, async (session) => {
    for (const task of models) await runModel(session, task, asked.length > 0 ? asked : STANDARD_BATCHES);
  });
}

/** BERT-base takes minutes in software. */
function standardShapes(full: true | undefined): ModelShapeName[] {
  return full ? ["mini", "minilm", "base"] : ["mini", "minilm"];
}

function randomTask(shape: ModelShapeName, dtype: "f32" | "f16"): ModelTask {
  const { layers, hidden } = MODEL_SHAPES[shape];
  const name = `${shape} ${layers}x${hidden}`;
  return { name, folder: randomModel(name, MODEL_SHAPES[shape]), dtype };
}

async function runModel({ engine, options }: Session, task: ModelTask, batches: readonly BatchTask[]): Promise<void> {
  await benchModel(engine, task, batches, options).catch((error: Error) => options.onFailure(task.name, error));
}

async function printComparison(files: readonly string[]): Promise<void> {
  const [a, b] = files;
  if (a === undefined || b === undefined || files.length !== 2) {
    throw new Error(`--compare takes two files, A.json and B.json; ${files.length} given`);
  }
  const rows = async (file: string) => parseRows(await readFile(file, "utf8"), file);
  console.log(comparisonText(await rows(a), await rows(b)));
}

function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("it must be a whole number from 1");
  return Number(text);
}

function kernelShape(text: string): number[] {
  if (!/^[1-9]\d{0,6}(x[1-9]\d{0,6}){1,2}$/.test(text)) throw new InvalidArgumentError("write it as 128x768x768");
  return text.split("x").map(Number);
}

const program = new Command("bench")
  .description("verify and time the kernels, and the models at small shapes: a quick look")
  .configureHelp({ showGlobalOptions: true })
  .option("--adapter <NAME>", "hardware, software, or a part of an adapter's name", "auto")
  .addOption(new Option("--dtype <TYPE>", "storage of weights and activations").choices(["f32", "f16"]).default("f32"))
  .option("--budget <MS>", "time for each row, of at least 3 repeats", positiveInteger, 2000)
  .option("--json [FILE]", "write JSON: a file, or JSON Lines to stdout in place of the tables")
  .option(
    "--full",
    "also every variant of the kernels, BERT-base, and batches of 8 and ragged: minutes, in software hours",
  )
  .option("--compare <FILES...>", "A.json B.json: how the times changed from A to B")
  .action(benchAll);
program
  .command("kernels")
  .description("each kernel: verified against float64 on the CPU, then timed")
  .argument("[NAME]", "the beginning of the kernels' names; all when not given")
  .option("--shape <SIZES>", "matmul MxNxK, attention TOKENSxHEADSxHEADDIM, rows ROWSxCOLS", kernelShape)
  .action((name: string | undefined, _: unknown, command: Command) => benchKernels(name, command.optsWithGlobals()));
program
  .command("model")
  .description("a model: latency, throughput, time by kernel, memory")
  .option("--model <DIR>", "a model folder; random weights when not given")
  .addOption(
    new Option("--shape <NAME>", "of the random model; mini and minilm when not given").choices(
      Object.keys(MODEL_SHAPES),
    ),
  )
  .option("--batch <N>", "sequences", positiveInteger)
  .option("--tokens <N>", "of each sequence", positiveInteger)
  .option("--ragged", "32 sentences and a long text, beside equal lengths with as many tokens")
  .action((_: unknown, command: Command) => benchModels(command.optsWithGlobals()));

process.stdout.on("error", () => process.exit()); // whoever read us has had enough, as `| head` has
await program.parseAsync().catch((error: Error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
});
