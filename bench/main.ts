/** `bench`: how close the kernels come to what the machine can do, and how fast the models are. */

import { readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { Command, Option } from "commander";
import type { DeviceTraits, Scalar } from "../src/kernels/kernel.ts";
import { reportFailure } from "../src/node/cli/failure.ts";
import { openModelFolder, refuseModel } from "../src/node/cli/model.ts";
import { harmless } from "../src/node/terminal.ts";
import { lackOfRoom } from "./buffer_limits.ts";
import {
  type CommonOptions,
  kernelShape,
  measures,
  positiveInteger,
  refuseContradictions,
  workgroupCounts,
} from "./command_line.ts";
import { comparisonText } from "./compare.ts";
import { ladderTask, SHAPE_FORMS, shapedTasks, typicalTasks } from "./kernel_cases.ts";
import type { KernelTask, Select } from "./kernels.ts";
import { type BatchTask, benchModel, type ModelTask, randomTask, requirePositions } from "./model.ts";
import { writeHtml } from "./outputs.ts";
import { peersCommand } from "./peers/command.ts";
import { MODEL_SHAPES, type ModelShapeName } from "./random_model.ts";
import { parseRows } from "./report.ts";
import { ceilingOf, type Row } from "./rows.ts";
import { type Session, withSession } from "./session.ts";
import { benchTraining } from "./train.ts";
import { type AuthorTask, authorTask, type WorkbenchOptions, watchFile } from "./workbench.ts";
import { readAuthorFile } from "./workbench_file.ts";

const STANDARD_BATCHES: readonly BatchTask[] = [{ batch: 1, tokens: 128 }, { batch: 8, tokens: 128 }, "ragged"];

/** Operations a second below which the plainest matmul of 1024^3 would take minutes. */
const SLOW = 25e9;
/** Sizes of the ladder of matmuls: of slow adapters, and of others. */
const LADDER = [512, 1024] as const;

/** Of the commands that time kernels. */
type KernelOptions = CommonOptions & { readonly dtype: Scalar; readonly shape?: readonly number[] };

type QuickOptions = KernelOptions & {
  readonly full?: true;
  readonly compare?: readonly string[];
  readonly report?: readonly string[];
};

type ModelOptions = CommonOptions & {
  readonly full?: true;
  readonly model?: string;
  readonly shape?: ModelShapeName;
  readonly batch?: number;
  readonly tokens?: number;
  readonly ragged?: true;
};

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
      const { traits } = session.engine;
      await runKernels(session, dtype, typicalTasks(traits), (_, place) => full === true || place === 0);
      await runKernels(session, dtype, [ladderTask(ladderSize(session), traits)], () => true);
      const batches = full ? STANDARD_BATCHES : STANDARD_BATCHES.slice(0, 1);
      for (const shape of standardShapes(full)) await runModel(session, randomTask(shape, dtype), batches);
    },
  );
}

async function benchKernels(name = "", { shape, dtype, ...common }: KernelOptions): Promise<void> {
  const named: Select = (kernel) => kernel.startsWith(name);
  const tasksOn = (traits: DeviceTraits, ladder: number): KernelTask[] =>
    shape ? shapedTasks(shape, traits) : [...typicalTasks(traits), ladderTask(ladder, traits)];
  const lackOf = ({ operation }: KernelTask, { limits }: GPUDevice): Error | undefined =>
    shape && lackOfRoom(`${operation} ${shape.join("x")} ${dtype}`, operation, shape, dtype, limits);
  await withSession(
    { ...common, dtype },
    ({ traits, adapter, device }) => {
      const all = tasksOn(traits, LADDER[0]);
      const chosen = all.filter(({ kernels }) => kernels.some(named));
      if (chosen.length === 0) {
        const known = [...new Set(all.flatMap(({ kernels }) => kernels))].join(", ");
        const sizes = shape ? ` for ${shape.join("x")}` : "";
        throw new RangeError(
          `there is no kernel whose name begins with "${name}"${sizes} on ${adapter.name}; there are ${known}`,
        );
      }
      const reasons = chosen.map((task) => lackOf(task, device));
      if (!reasons.includes(undefined)) throw reasons[0];
    },
    async (session) => {
      const { traits, device } = session.engine;
      for (const task of tasksOn(traits, ladderSize(session))) {
        if (!task.kernels.some(named)) continue;
        const reason = lackOf(task, device);
        if (reason) session.options.onFailure(`${task.operation} ${dtype}`, reason);
        else await runKernels(session, dtype, [task], named);
      }
    },
  );
}

async function benchFile(
  path: string,
  { watch, ...options }: KernelOptions & WorkbenchOptions & { readonly watch?: true },
): Promise<void> {
  const { dtype } = options;
  const taskFor = async (engine: Session["engine"]): Promise<AuthorTask> =>
    authorTask(await readAuthorFile(path), options, engine, dtype);
  await withSession(
    options,
    async (engine) => {
      if (watch) return undefined; // who saves it again is told each time
      const task = await taskFor(engine);
      await task.compile();
      return task;
    },
    async (session, task) => {
      const { engine, options } = session;
      if (task) return runKernels(session, dtype, [task], () => true);
      await watchFile(path, () =>
        taskFor(engine).then(
          (task) => runKernels(session, dtype, [task], () => true),
          (error: Error) => options.onFailure(basename(path), error),
        ),
      );
    },
  );
}

async function runKernels(
  { engine, options }: Session,
  dtype: Scalar,
  tasks: readonly KernelTask[],
  select: Select,
): Promise<void> {
  for (const task of tasks) {
    const name = `${task.kernels.join(", ")} ${dtype}`;
    await task.measure(engine, select, dtype, options).catch((error: Error) => options.onFailure(name, error));
  }
}

function ladderSize({ options }: Session): number {
  return ceilingOf(options.ceilings, "arithmetic") < SLOW ? LADDER[0] : LADDER[1];
}

async function benchModels({ model, shape, batch, tokens, ragged, full, ...common }: ModelOptions): Promise<void> {
  const { dtype } = common;
  const one = model !== undefined ? "--model" : shape !== undefined ? "--shape" : undefined;
  if (model !== undefined && shape !== undefined) {
    throw new RangeError("--shape is of a random model, --model names another: give one of them");
  }
  if (full && one) throw new RangeError(`--full says which random models, ${one} names one: give one of them`);
  const dense: BatchTask[] = batch || tokens ? [{ batch: batch ?? 1, tokens: tokens ?? 128 }] : [];
  const asked: BatchTask[] = ragged ? [...dense, "ragged"] : dense;
  await withSession(
    common,
    async () => {
      const folder = model === undefined ? undefined : await openModelFolder(model, { json: common.json === true });
      for (const output of [common.json, common.html]) {
        if (folder && typeof output === "object") await refuseModel(output, folder);
      }
      const models: ModelTask[] = folder
        ? [{ name: basename(resolve(folder.name)), folder, dtype }]
        : (shape ? [shape] : standardShapes(full)).map((name) => randomTask(name, dtype));
      for (const task of models) await requirePositions(task, asked);
      return models;
    },
    async (session, models) => {
      for (const task of models) await runModel(session, task, asked.length > 0 ? asked : STANDARD_BATCHES);
    },
  );
}

type TrainOptions = Omit<CommonOptions, "dtype"> & {
  readonly shape?: ModelShapeName;
  readonly batch: number;
  readonly tokens: number;
};

async function benchTrain({ shape, batch, tokens, ...common }: TrainOptions): Promise<void> {
  const shapes = shape ? [shape] : standardShapes(undefined);
  await withSession(
    { ...common, dtype: "f32" },
    async () => {
      for (const name of shapes) await requirePositions(randomTask(name, "f32"), [{ batch, tokens }]);
    },
    async ({ engine, options }) => {
      for (const each of shapes) {
        const task = { name: randomTask(each, "f32").name, shape: MODEL_SHAPES[each], batch, tokens };
        await benchTraining(engine, task, options).then(options.onRow, (error: Error) =>
          options.onFailure(`training ${task.name}`, error),
        );
      }
    },
  );
}

/** BERT-base takes minutes in software. */
function standardShapes(full: true | undefined): ModelShapeName[] {
  return full ? ["mini", "minilm", "base"] : ["mini", "minilm"];
}

async function runModel({ engine, options }: Session, task: ModelTask, batches: readonly BatchTask[]): Promise<void> {
  await benchModel(engine, task, batches, options).catch((error: Error) => options.onFailure(task.name, error));
}

async function printComparison(files: readonly string[]): Promise<void> {
  const [a, b] = files;
  if (a === undefined || b === undefined || files.length !== 2) {
    throw new RangeError(`--compare takes two files, A.json and B.json; ${files.length} given`);
  }
  console.log(harmless(comparisonText(await rowsIn(a), await rowsIn(b))));
}

async function reportFiles(files: readonly string[], html: CommonOptions["html"]): Promise<void> {
  if (html === undefined) throw new RangeError("--report needs --html FILE: where to write the page");
  await writeHtml(html, (await Promise.all(files.map(rowsIn))).flat());
}

async function rowsIn(file: string): Promise<readonly Row[]> {
  return parseRows(await readFile(file, "utf8"), file);
}

const program = new Command("bench")
  .description("verify and time the kernels, and the models at small shapes: a quick look")
  .exitOverride()
  .enablePositionalOptions()
  .configureOutput({ outputError: (text, write) => write(`${text.trim().replaceAll("\n", " ")}\n`) })
  .hook("preAction", refuseContradictions)
  .action(benchAll);
measures(program, ["f32", "f16"])
  .option("--full", "also every variant of the kernels, BERT-base, batches of 8 and ragged: minutes, in software hours")
  .option("--compare <FILES...>", "A.json B.json: how the times changed from A to B")
  .option("--report <FILES...>", "A.json B.json ...: the --html page of results that there are, nothing is measured");
measures(program.command("kernels"), ["f32", "f16"])
  .description("each kernel: verified against float64 on the CPU, then timed")
  .argument("[NAME]", "the beginning of the kernels' names; all when not given")
  .option("--shape <SIZES>", SHAPE_FORMS, kernelShape)
  .action(benchKernels);
measures(program.command("kernel"), ["f32", "f16"])
  .description("a kernel of your own: verified against what it claims to compute, timed beside the project's")
  .argument("<FILE>", "a .wgsl file, see docs/bench.md")
  .option("--claims <NAME>", 'what it computes: matmul, "matmul gelu", softmax, layernorm, attention, ...')
  .option("--shape <SIZES>", "as of kernels; BERT-base with 128 tokens when not given", kernelShape)
  .option("--workgroups <XxYxZ>", "how many are launched, in place of what the file says", workgroupCounts)
  .option("--watch", "again whenever the file is saved")
  .action(benchFile);
measures(program.command("model"), ["f32", "f16", "q8"])
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
  .option("--full", "also BERT-base")
  .action(benchModels);
measures(program.command("train"), [])
  .description("a training step of a classifier, clipping and AdamW included, beside the forward pass of its batch")
  .addOption(
    new Option("--shape <NAME>", "of the random model; mini and minilm when not given").choices(
      Object.keys(MODEL_SHAPES),
    ),
  )
  .option("--batch <N>", "sequences", positiveInteger, 8)
  .option("--tokens <N>", "of each sequence", positiveInteger, 128)
  .action(benchTrain);
program.addCommand(peersCommand().copyInheritedSettings(program));
program.allowExcessArguments(); // a command that there is not, which `benchAll` tells by its name

process.on("SIGINT", () => process.exit(130)); // until there is something to write: see `withReport`
process.on("SIGTERM", () => process.exit(143));
process.stdout.on("error", () => process.exit()); // whoever read us has had enough, as `| head` has
await program.parseAsync().catch((error: unknown) => {
  process.exitCode = reportFailure(error);
});
