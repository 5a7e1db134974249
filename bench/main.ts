/** `bench`: how close the kernels come to what the machine can do, and how fast the models are. */

import { readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { Command, Help, Option } from "commander";
import { DEFAULT_LIMITS, type DeviceTraits, type Scalar } from "../src/kernels/kernel.ts";
import { reportFailure } from "../src/node/cli/failure.ts";
import { openModelFolder } from "../src/node/cli/model.ts";
import type { Engine } from "../src/node/index.ts";
import { bytesAt, requireRoom } from "./buffer_limits.ts";
import {
  type FileOptions,
  fileShape,
  type KernelOptions,
  kernelShape,
  type ModelOptions,
  positiveInteger,
  type QuickOptions,
  refuseContradictions,
  takes,
} from "./command_line.ts";
import { comparisonText } from "./compare.ts";
import type { ReportRow } from "./html/runs.ts";
import { ladderTask, SHAPE_FORMS, shapedTasks, typicalTasks } from "./kernel_cases.ts";
import type { KernelTask, Select } from "./kernels.ts";
import { type BatchTask, benchModel, type ModelTask, requirePositions } from "./model.ts";
import { writeHtml } from "./outputs.ts";
import { peersCommand } from "./peers/command.ts";
import { MODEL_SHAPES, type ModelShapeName, randomModel } from "./random_model.ts";
import { parseRows } from "./report.ts";
import { type Session, withSession } from "./session.ts";
import { authorTask, benchAuthorFile, watchFile } from "./workbench.ts";

const STANDARD_BATCHES: readonly BatchTask[] = [{ batch: 1, tokens: 128 }, { batch: 8, tokens: 128 }, "ragged"];

/** Operations a second below which the plainest matmul of 1024^3 would take minutes. */
const SLOW = 25e9;
/** Sizes of the ladder of matmuls: of slow adapters, and of others. */
const LADDER = [512, 1024] as const;

/** Devices that between them have every kernel: what a name is looked up in before there is a device. */
const MATRIX_UNITS = (["f32", "f16"] as const).map((type) => {
  return { componentType: type, resultType: "f32" as const, M: 16, N: 16, K: 16 };
});
const ANY_DEVICE: readonly DeviceTraits[] = [
  { limits: DEFAULT_LIMITS, software: true, subgroupSize: 8 },
  { limits: DEFAULT_LIMITS, software: false, vendor: "nvidia", matrixUnits: MATRIX_UNITS, subgroupMaxSize: 32 },
];

async function benchAll({ full, compare, report, ...common }: QuickOptions, command: Command): Promise<void> {
  const [unknown] = command.args;
  if (unknown !== undefined) {
    const known = command.commands.map((each) => each.name()).join(", ");
    throw new RangeError(`there is no command "${unknown}"; there are ${known}`);
  }
  if (compare) return printComparison(compare);
  if (report) return reportFiles(report, common.html);
  const { dtype } = common;
  await withSession(
    common,
    () => {},
    async (session) => {
      await runKernels(session, dtype, typicalTasks(session.traits), (_, place) => full === true || place === 0);
      await runKernels(session, dtype, [ladderTask(ladderSize(session), session.traits)], () => true);
      for (const shape of standardShapes(full)) {
        await runModel(session, randomTask(shape, dtype), full ? STANDARD_BATCHES : STANDARD_BATCHES.slice(0, 1));
      }
    },
  );
}

async function benchKernels(name = "", { shape, ...common }: KernelOptions): Promise<void> {
  const named: Select = (kernel) => kernel.startsWith(name);
  const { dtype } = common;
  const standardOn = (traits: DeviceTraits, ladder: number): KernelTask[] => [
    ...typicalTasks(traits),
    ladderTask(ladder, traits),
  ];
  // Which kernels there are depends on what the sizes are multiples of: these stand in for sizes that may not fit.
  const small = shape?.map((size) => Math.min(size, 64 + (size % 64)));
  const namedOn = (traits: DeviceTraits): KernelTask[] =>
    small ? shapedTasks(small, traits) : standardOn(traits, LADDER[0]);
  const chosenOf = (tasks: readonly KernelTask[], where = ""): KernelTask[] => {
    const chosen = tasks.filter(({ kernels }) => kernels.some(named));
    if (chosen.length > 0) return chosen;
    const known = [...new Set(ANY_DEVICE.flatMap(namedOn).flatMap(({ kernels }) => kernels))].join(", ");
    const [taking, these] = shape ? [` and takes ${shape.length} sizes`, "these do"] : ["", "all kernels"];
    throw new RangeError(
      `there is no kernel whose name begins with "${name}"${taking}${where}; ${these}: ${known || "none"}`,
    );
  };
  chosenOf(ANY_DEVICE.flatMap(namedOn));
  await withSession(
    common,
    ({ traits, adapter, device }) => {
      const chosen = chosenOf(namedOn(traits), ` on ${adapter.name}`);
      if (shape === undefined) return undefined;
      requireRoomForSome(chosen, shape, dtype, device.limits);
      return shapedTasks(shape, traits);
    },
    async (session, shaped) => {
      const tasks = shaped ?? standardOn(session.traits, ladderSize(session));
      await runKernels(session, dtype, chosenOf(tasks), named, shape);
    },
  );
}

/** @throws RangeError for sizes at which none of them fits */
function requireRoomForSome(
  tasks: readonly KernelTask[],
  shape: readonly number[],
  dtype: Scalar,
  limits: GPUSupportedLimits,
): void {
  const reasons = tasks.map((task) => {
    try {
      requireRoomFor(task, shape, dtype, limits);
      return undefined;
    } catch (error) {
      return error;
    }
  });
  if (!reasons.includes(undefined)) throw reasons[0];
}

function requireRoomFor(
  { kernels: [kernel] }: KernelTask,
  shape: readonly number[],
  dtype: Scalar,
  limits: GPUSupportedLimits,
): void {
  requireRoom(`${kernel} ${shape.join("x")} ${dtype}`, bytesAt(kernel!, shape, dtype), limits);
}

async function benchFile(path: string, { watch, ...options }: FileOptions): Promise<void> {
  const { dtype } = options;
  // What a file lacks is told before the ceilings are measured, whose time it would cost otherwise.
  const author = watch ? undefined : await authorTask(path, options, { limits: DEFAULT_LIMITS, software: true }, dtype);
  const requireFit = ({ device }: Engine): void => author && requireRoom(author.file.name, author.bytes, device.limits);
  await withSession(options, requireFit, async (session) => {
    const bench = { ...session, dtype };
    if (!watch) return benchAuthorFile(path, options, bench);
    await watchFile(path, () =>
      benchAuthorFile(path, options, bench).catch((error: Error) => session.options.onFailure(basename(path), error)),
    );
  });
}

/** @param shape where it was asked for: what has no room on this device fails before its data is made */
async function runKernels(
  { engine, options }: Session,
  dtype: Scalar,
  tasks: readonly KernelTask[],
  select: Select,
  shape?: readonly number[],
): Promise<void> {
  for (const task of tasks) {
    try {
      if (shape) requireRoomFor(task, shape, dtype, engine.device.limits);
      await task.measure(engine, select, dtype, options);
    } catch (error) {
      options.onFailure(`${task.kernels.join(", ")} ${dtype}`, error as Error);
    }
  }
}

function ladderSize({ ceilings }: Session): number {
  return ceilings.find(({ name }) => name === "arithmetic")!.perSecond < SLOW ? LADDER[0] : LADDER[1];
}

async function benchModels({ model, shape, batch, tokens, ragged, full, ...common }: ModelOptions): Promise<void> {
  const { dtype } = common;
  const shapes: ModelShapeName[] = shape ? [shape] : standardShapes(full);
  const folder = model === undefined ? undefined : await downloaded(model);
  const models: ModelTask[] = folder
    ? [{ name: basename(resolve(folder.name)), folder, dtype }]
    : shapes.map((name) => randomTask(name, dtype));
  const dense: BatchTask[] = batch || tokens ? [{ batch: batch ?? 1, tokens: tokens ?? 128 }] : [];
  const asked: BatchTask[] = ragged ? [...dense, "ragged"] : dense;
  for (const task of models) await requirePositions(task, asked);
  await withSession(
    common,
    () => {},
    async (session) => {
      for (const task of models) await runModel(session, task, asked.length > 0 ? asked : STANDARD_BATCHES);
    },
  );
}

/** Ctrl-C ends a download: there are no results to write yet. */
async function downloaded(model: string): ReturnType<typeof openModelFolder> {
  const exit = (): never => process.exit(130);
  process.once("SIGINT", exit);
  try {
    return await openModelFolder(model);
  } finally {
    process.off("SIGINT", exit);
  }
}

/** BERT-base takes minutes in software. */
function standardShapes(full: true | undefined): ModelShapeName[] {
  return full ? ["mini", "minilm", "base"] : ["mini", "minilm"];
}

function randomTask(shape: ModelShapeName, dtype: ModelTask["dtype"]): ModelTask {
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
    throw new RangeError(`--compare takes two files, A.json and B.json; ${files.length} given`);
  }
  console.log(comparisonText(await rowsIn(a), await rowsIn(b)));
}

async function reportFiles(files: readonly string[], html: string | undefined): Promise<void> {
  if (html === undefined) throw new RangeError("--report needs --html FILE: where to write the page");
  await writeHtml(html, (await Promise.all(files.map(rowsIn))).flat());
}

async function rowsIn(file: string): Promise<readonly ReportRow[]> {
  return parseRows(await readFile(file, "utf8"), file);
}

const program = new Command("bench")
  .description("verify and time the kernels, and the models at small shapes: a quick look")
  .configureHelp({
    showGlobalOptions: true,
    visibleGlobalOptions: (command) =>
      Object.assign(new Help(), { showGlobalOptions: true })
        .visibleGlobalOptions(command)
        .filter((option) => takes(command, option.attributeName())),
  })
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(`${text.trim().replaceAll("\n", " ")}\n`) })
  .option("--adapter <NAME>", "hardware, software, or a part of an adapter's name", "auto")
  .addOption(
    new Option("--dtype <TYPE>", "storage of weights and activations; q8, int8 weights, of models alone")
      .choices(["f32", "f16", "q8"])
      .default("f32"),
  )
  .option("--budget <MS>", "time for each row, of at least 3 repeats", positiveInteger, 2000)
  .option("--json [FILE]", "write JSON: a file, or JSON Lines to stdout in place of the tables")
  .option(
    "--full",
    "also every variant of the kernels, BERT-base, and batches of 8 and ragged: minutes, in software hours",
  )
  .option("--html <FILE>", "write a page with plots and tables")
  .option("--tuned", "choose matmuls by what bert-webgpu tune stored for the adapter, not by the built-in choice")
  .option("--compare <FILES...>", "A.json B.json: how the times changed from A to B")
  .option("--report <FILES...>", "A.json B.json ...: the --html page of results that there are, nothing is measured")
  .hook("preAction", refuseContradictions)
  .action(benchAll);
program
  .command("kernels")
  .description("each kernel: verified against float64 on the CPU, then timed")
  .argument("[NAME]", "the beginning of the kernels' names; all when not given")
  .option("--shape <SIZES>", SHAPE_FORMS, kernelShape)
  .action((name: string | undefined, _: unknown, command: Command) => benchKernels(name, command.optsWithGlobals()));
program
  .command("kernel")
  .description("a kernel of your own: verified against what it claims to compute, timed beside the project's")
  .argument("<FILE>", "a .wgsl file, see docs/bench.md")
  .option("--claims <NAME>", 'what it computes: matmul, "matmul gelu", softmax, layernorm, gelu, attention, ...')
  .option("--shape <SIZES>", "as of kernels; of a file that claims nothing, its first params", fileShape)
  .option("--workgroups <SIZES>", "XxYxZ, or sums over its params and constants: ceil(n / 64), ceil(m / 64)")
  .option("--watch", "again whenever the file is saved")
  .action((file: string, _: unknown, command: Command) => benchFile(file, command.optsWithGlobals()));
program
  .command("model")
  .description("a model: latency, throughput, time by kernel, memory")
  .option(
    "--model <MODEL>",
    "a model folder, or org/name[@revision] of the Hugging Face hub; random weights when not given",
  )
  .addOption(
    new Option("--shape <NAME>", "of the random model; mini and minilm when not given").choices(
      Object.keys(MODEL_SHAPES),
    ),
  )
  .option("--batch <N>", "sequences", positiveInteger)
  .option("--tokens <N>", "of each sequence", positiveInteger)
  .option("--ragged", "32 sentences and a long text, beside equal lengths with as many tokens")
  .action((_: unknown, command: Command) => benchModels(command.optsWithGlobals()));

program.addCommand(peersCommand().copyInheritedSettings(program));
program.allowExcessArguments(); // a command that there is not, which `benchAll` tells by its name

process.stdout.on("error", () => process.exit()); // whoever read us has had enough, as `| head` has
await program.parseAsync().catch((error: unknown) => {
  process.exitCode = reportFailure(error);
});
