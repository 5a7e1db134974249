/** README.md of a trained model: what it was made of, how, and how well it does. */

import { basename } from "node:path";
import type { LogRow, Trainer } from "../../../train/index.ts";
import { printable } from "../output.ts";
import { packageVersion } from "../package.ts";
import type { TrainOptions } from "./options.ts";
import type { Prepared } from "./prepared.ts";

const PIPELINES: Readonly<Record<string, string>> = {
  mlm: "fill-mask",
  pretrain: "fill-mask",
  classify: "text-classification",
  tag: "token-classification",
  answer: "question-answering",
  embed: "sentence-similarity",
};

/** Options that say where things are, not how the model came about. */
const PLACES =
  /^(input|evalInput|output|model|config|tokenizer|report|json|verify|adapter|resume|force|header|format|delimiter)$/;

type Told = Pick<Trainer, "step" | "history" | "best">;

/** What there is to say of a trained model, as rows of names and values: for its README.md, and for the page of its run. */
export interface RunFacts {
  /** What it was trained from. */
  readonly from: string;
  /** That is a name of the hub. */
  readonly onHub: boolean;
  readonly data: readonly Fact[];
  readonly options: readonly Fact[];
  /** Of the best evaluation, else of the last; undefined where there was none. */
  readonly results: { readonly step: number; readonly metrics: readonly Fact[] } | undefined;
  readonly evaluated: readonly LogRow[];
}

type Fact = readonly [name: string, value: string];

export function factsOf(options: TrainOptions, { facts }: Prepared, { history, best }: Told): RunFacts {
  const { model, config, input, evalInput } = options;
  const onHub = model !== undefined && /^[\w.-]+\/[\w.-]+(@.+)?$/.test(model) && !model.startsWith(".");
  const given = Object.entries(options).filter(
    ([name, value]) => !PLACES.test(name) && value !== undefined && value !== false,
  );
  const evaluated = history.filter((row) => Object.keys(row).some((name) => name.startsWith("eval_")));
  const shown = evaluated.find((row) => row.step === best?.step) ?? evaluated.at(-1);
  return {
    from: model === undefined ? `random weights for ${basename(config!)}` : onHub ? model : basename(model),
    onHub,
    data: [
      ["files", input.map((path) => basename(path)).join(", ")],
      ...(evalInput ? [["files evaluated on", evalInput.map((path) => basename(path)).join(", ")] as const] : []),
      ...Object.entries(facts),
    ],
    options: given.map(([name, value]) => [flag(name), String(value)]),
    results: shown && {
      step: shown.step!,
      metrics: figuresOf(shown).map(([name, value]) => [name, value.toFixed(4)]),
    },
    evaluated,
  };
}

export function modelCard(kind: string, options: TrainOptions, prepared: Prepared, trainer: Told): string {
  const { from, onHub, data, options: given, results, evaluated } = factsOf(options, prepared, trainer);
  const losses = trainer.history.filter(({ loss }) => loss !== undefined);
  return [
    "---",
    `library_name: ${options.loraRank !== undefined ? "peft" : kind === "embed" ? "sentence-transformers" : "transformers"}`,
    `pipeline_tag: ${PIPELINES[kind]}`,
    ...(onHub ? [`base_model: ${from.replace(/@.*/, "")}`] : []),
    "tags:",
    ...(kind === "embed" ? ["- sentence-transformers"] : []),
    "- bert-webgpu",
    ...(options.loraRank === undefined ? [] : ["- lora"]),
    "---",
    "",
    `# ${printable(basename(options.output))}`,
    "",
    `Trained with bert-webgpu ${packageVersion()}, \`train ${kind}\`, from ${code(from)}: ${trainer.step} steps.`,
    "",
    "## Data",
    "",
    ...table(["", ""], data),
    "",
    "## Options",
    "",
    ...table(["option", "value"], given),
    "",
    "## Results",
    "",
    ...(results ? table(["metric", "value"], results.metrics) : ["It was not evaluated."]),
    ...(evaluated.length > 1 ? ["", ...evaluations(evaluated)] : []),
    ...(losses.length > 0
      ? ["", `The loss went from ${losses[0]!.loss!.toFixed(4)} to ${losses.at(-1)!.loss!.toFixed(4)}.`]
      : []),
    "",
  ].join("\n");
}

/** Those of an evaluation. A number that JSON does not have, as a correlation may be, is null in a run that was gone on with. */
export function figuresOf(row: LogRow): [string, number][] {
  return Object.entries(row)
    .filter(([name]) => name.startsWith("eval_"))
    .map(([name, value]) => [name.slice("eval_".length), value ?? Number.NaN]);
}

function evaluations(rows: readonly LogRow[]): string[] {
  const names = figuresOf(rows[0]!).map(([name]) => name);
  const cells = rows.map((row) => [
    String(row.step),
    row.epoch!.toFixed(2),
    ...figuresOf(row).map(([, value]) => value.toFixed(4)),
  ]);
  return table(["step", "epoch", ...names], cells);
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => printable(cell).replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(header), `|${" --- |".repeat(header.length)}`, ...rows.map(line)];
}

/** How the command line spells an option. */
export const flag = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

const code = (text: string): string => `\`${printable(text).replaceAll("`", "'")}\``;
