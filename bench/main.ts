/** `bench`: how close the kernels come to what the machine can do, and how fast the models are. */

import { readFile, writeFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { DEFAULT_LIMITS, type DeviceTraits } from "../src/kernels/kernel.ts";
import { reportFailure } from "../src/node/cli/failure.ts";
import { openModelFolder } from "../src/node/cli/model.ts";
import { createEngine, type Engine } from "../src/node/index.ts";
import { copyTimes, measureCeilings } from "./ceilings.ts";
import { comparisonText } from "./compare.ts";
import { htmlReport } from "./html/report.ts";
import type { ReportRow } from "./html/runs.ts";
import { ladderTask, shapedTasks, typicalTasks } from "./kernel_cases.ts";
import type { KernelTask, Select } from "./kernels.ts";
import { originOf } from "./machine.ts";
import { type BatchTask, benchModel, type ModelTask } from "./model.ts";
import { watchOthers } from "./others.ts";
import { peersCommand } from "./peers/command.ts";
import { MODEL_SHAPES, type ModelShapeName, randomModel } from "./random_model.ts";
import { openReport, parseRows } from "./report.ts";
import type { CeilingRow } from "./rows.ts";
import { authorTask, benchAuthorFile, watchFile } from "./workbench.ts";
import type { WorkbenchOptions } from "./workbench_claims.ts";

/** Of every command. */
interface CommonOptions {
  readonly adapter: string;
  readonly dtype: "f32" | "f16";
  readonly budget: number;
  readonly json: string | true | undefined;
  readonly html?: string;
  readonly full?: true;
}

interface QuickOptions extends CommonOptions {
  readonly compare?: readonly string[];
  readonly report?: readonly string[];
}

interface KernelOptions extends CommonOptions {
  readonly shape?: readonly number[];
}

interface FileOptions extends CommonOptions, WorkbenchOptions {
  readonly watch?: true;
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
  { adapter, dtype, budget, json, html }: CommonOptions,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  const report = openReport(json, console.log);
  const finish = async (): Promise<void> => {
    report.finish();
    if (html !== undefined) await writeHtml(html, report.rows);
  };
  process.once("SIGINT", () => {
    finish().then(
      () => process.exit(130),
      (error: unknown) => process.exit(reportFailure(error)),
    );
  });
  const engine = await createEngine({ adapter, preciseTimestamps: true });
  try {
    if (dtype === "f16" && !engine.hasF16) {
      throw new RangeError(`--dtype f16 needs the feature shader-f16, which ${engine.adapter.name} lacks`);
    }
    report.add({ type: "origin", tool: "bert-webgpu bench", version: 1, ...(await originOf(engine.adapter)) });
    report.progress("ceilings");
    const ceilings = await measureCeilings(engine, budget, watchOthers);
    for (const row of ceilings) report.add(row);
    const onFailure = (name: string, { message }: Error): void => {
      report.add({ type: "failure", name, message });
      process.exitCode = 1;
    };
    const copyTime = copyTimes(engine, budget / 2);
    const options = {
      budget,
      ceilings,
      copyTime,
      onRow: report.add,
      onProgress: report.progress,
      onFailure,
      watch: watchOthers,
    };
    await work({ engine, traits: engine.traits, dtype, ceilings, options });
  } finally {
    engine.dispose();
    await finish();
  }
}

async function writeHtml(file: string, rows: readonly ReportRow[]): Promise<void> {
  await writeFile(file, await htmlReport(rows));
}

async function benchAll({ full, compare, report, ...common }: QuickOptions): Promise<void> {
  if (compare) return printComparison(compare);
  if (report) return reportFiles(report, common.html);
  await withSession(common, async (session) => {
    await runKernels(session, typicalTasks(session.traits), (_, place) => full === true || place === 0);
    await runKernels(session, [ladderTask(ladderSize(session), session.traits)], () => true);
    for (const shape of standardShapes(full)) {
      await runModel(session, randomTask(shape, common.dtype), full ? STANDARD_BATCHES : STANDARD_BATCHES.slice(0, 1));
    }
  });
}

async function benchKernels(name = "", { shape, ...common }: KernelOptions): Promise<void> {
  const named: Select = (kernel) => kernel.startsWith(name);
  await withSession(common, async (session) => {
    const standard = [...typicalTasks(session.traits), ladderTask(ladderSize(session), session.traits)];
    const tasks = shape ? shapedTasks(shape, session.traits) : standard;
    const chosen = tasks.filter(({ kernels }) => kernels.some(named));
    if (chosen.length === 0) {
      const known = [...new Set(standard.flatMap(({ kernels }) => kernels))].join(", ");
      const taking = shape ? ` and takes ${shape.length} sizes` : "";
      throw new RangeError(`there is no kernel whose name begins with "${name}"${taking}; all kernels: ${known}`);
    }
    await runKernels(session, chosen, named);
  });
}

async function benchFile(path: string, { watch, ...options }: FileOptions): Promise<void> {
  // What a file lacks is told before the ceilings are measured, whose time it would cost otherwise.
  if (!watch) await authorTask(path, options, { limits: DEFAULT_LIMITS, software: true });
  await withSession(options, async (session) => {
    if (!watch) return benchAuthorFile(path, options, session);
    await watchFile(path, () =>
      benchAuthorFile(path, options, session).catch((error: Error) => session.options.onFailure(basename(path), error)),
    );
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
  const folder = model === undefined ? undefined : await downloaded(model);
  const models: ModelTask[] = folder
    ? [{ name: basename(resolve(folder.name)), folder, dtype }]
    : shapes.map((name) => randomTask(name, dtype));
  const dense: BatchTask[] = batch || tokens ? [{ batch: batch ?? 1, tokens: tokens ?? 128 }] : [];
  const asked: BatchTask[] = ragged ? [...dense, "ragged"] : dense;
  await withSession(common, async (session) => {
    for (const task of models) await runModel(session, task, asked.length > 0 ? asked : STANDARD_BATCHES);
  });
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
    throw new RangeError(`--compare takes two files, A.json and B.json; ${files.length} given`);
  }
  console.log(comparisonText(await rowsIn(a), await rowsIn(b)));
}

async function reportFiles(files: readonly string[], html: string | undefined): Promise<void> {
  if (html === undefined) throw new RangeError("--report needs --html FILE: where to write the page");
  await writeHtml(html, (await Promise.all(files.map(rowsIn))).flat());
}

async function rowsIn(file: string): Promise<ReturnType<typeof parseRows>> {
  return parseRows(await readFile(file, "utf8"), file);
}

/** `--compare` and `--report` measure nothing, so they stand alone; peers keeps its rows to its JSON file. */
async function refuseContradictions(program: Command, command: Command): Promise<void> {
  const { compare, report } = program.opts<QuickOptions>();
  if (compare && report) throw new RangeError("--compare and --report are two questions: ask one at a time");
  if (command === program) return;
  const alone = compare ? "--compare" : report ? "--report" : undefined;
  if (alone) throw new RangeError(`${alone} reads results and measures nothing: give it without "${command.name()}"`);
  const { html, json } = command.optsWithGlobals<CommonOptions>();
  if (command.name() === "peers" && html !== undefined && typeof json !== "string") {
    throw new RangeError("peers --html FILE is written from the results: give --json FILE too");
  }
}

function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("it must be a whole number from 1");
  return Number(text);
}

function fileShape(text: string): number[] {
  if (!/^[1-9]\d{0,8}(x[1-9]\d{0,8})*$/.test(text)) throw new InvalidArgumentError("write it as 128x768x768");
  return text.split("x").map(Number);
}

function kernelShape(text: string): number[] {
  if (!/^[1-9]\d{0,6}(x[1-9]\d{0,6}){1,2}$/.test(text)) throw new InvalidArgumentError("write it as 128x768x768");
  return text.split("x").map(Number);
}

const program = new Command("bench")
  .description("verify and time the kernels, and the models at small shapes: a quick look")
  .configureHelp({ showGlobalOptions: true })
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(`${text.trim().replaceAll("\n", " ")}\n`) })
  .option("--adapter <NAME>", "hardware, software, or a part of an adapter's name", "auto")
  .addOption(new Option("--dtype <TYPE>", "storage of weights and activations").choices(["f32", "f16"]).default("f32"))
  .option("--budget <MS>", "time for each row, of at least 3 repeats", positiveInteger, 2000)
  .option("--json [FILE]", "write JSON: a file, or JSON Lines to stdout in place of the tables")
  .option(
    "--full",
    "also every variant of the kernels, BERT-base, and batches of 8 and ragged: minutes, in software hours",
  )
  .option("--html <FILE>", "write a page with plots and tables")
  .option("--compare <FILES...>", "A.json B.json: how the times changed from A to B")
  .option("--report <FILES...>", "A.json B.json ...: the --html page of results that there are, nothing is measured")
  .hook("preAction", refuseContradictions)
  .action(benchAll);
program
  .command("kernels")
  .description("each kernel: verified against float64 on the CPU, then timed")
  .argument("[NAME]", "the beginning of the kernels' names; all when not given")
  .option("--shape <SIZES>", "matmul MxNxK, attention TOKENSxHEADSxHEADDIM, rows ROWSxCOLS", kernelShape)
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

program.addCommand(
  peersCommand()
    .copyInheritedSettings(program)
    .hook("postAction", async (command) => {
      const { html, json } = command.optsWithGlobals<CommonOptions>();
      if (html !== undefined && typeof json === "string") await writeHtml(html, await rowsIn(json));
    }),
);

process.stdout.on("error", () => process.exit()); // whoever read us has had enough, as `| head` has
await program.parseAsync().catch((error: unknown) => {
  process.exitCode = reportFailure(error);
});
