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
};

/** Options that say where things are, not how the model came about. */
const PLACES =
  /^(input|evalInput|output|model|config|tokenizer|json|verify|adapter|resume|force|header|format|delimiter)$/;

export function modelCard(
  kind: string,
  options: TrainOptions,
  { facts }: Prepared,
  { step, history, best }: Pick<Trainer, "step" | "history" | "best">,
): string {
  const { model, config, input, evalInput, output } = options;
  const from = model ?? `random weights for ${basename(config!)}`;
  const onHub = model !== undefined && /^[\w.-]+\/[\w.-]+(@.+)?$/.test(model) && !model.startsWith(".");
  const given = Object.entries(options).filter(
    ([name, value]) => !PLACES.test(name) && value !== undefined && value !== false,
  );
  const evaluated = history.filter((row) => Object.keys(row).some((name) => name.startsWith("eval_")));
  const shown = evaluated.find((row) => row.step === best?.step) ?? evaluated.at(-1);
  const losses = history.filter(({ loss }) => loss !== undefined);
  return [
    "---",
    `library_name: ${options.loraRank === undefined ? "transformers" : "peft"}`,
    `pipeline_tag: ${PIPELINES[kind]}`,
    ...(onHub ? [`base_model: ${model.replace(/@.*/, "")}`] : []),
    "tags:",
    "- bert-webgpu",
    ...(options.loraRank === undefined ? [] : ["- lora"]),
    "---",
    "",
    `# ${printable(basename(output))}`,
    "",
    `Trained with bert-webgpu ${packageVersion()}, \`train ${kind}\`, from ${code(onHub || model === undefined ? from : basename(from))}: ${step} steps.`,
    "",
    "## Data",
    "",
    ...table(
      ["", ""],
      [
        ["files", input.map((path) => basename(path)).join(", ")],
        ...(evalInput ? [["files evaluated on", evalInput.map((path) => basename(path)).join(", ")]] : []),
        ...Object.entries(facts),
      ],
    ),
    "",
    "## Options",
    "",
    ...table(
      ["option", "value"],
      given.map(([name, value]) => [flag(name), String(value)]),
    ),
    "",
    "## Results",
    "",
    ...(shown
      ? table(
          ["metric", "value"],
          figuresOf(shown).map(([name, value]) => [name, value.toFixed(4)]),
        )
      : ["It was not evaluated."]),
    ...(evaluated.length > 1 ? ["", ...evaluations(evaluated)] : []),
    ...(losses.length > 0
      ? ["", `The loss went from ${losses[0]!.loss!.toFixed(4)} to ${losses.at(-1)!.loss!.toFixed(4)}.`]
      : []),
    "",
  ].join("\n");
}

function figuresOf(row: LogRow): [string, number][] {
  return Object.entries(row)
    .filter(([name]) => name.startsWith("eval_"))
    .map(([name, value]) => [name.slice(5), value]);
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

const flag = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

const code = (text: string): string => `\`${printable(text).replaceAll("`", "'")}\``;
