/** `classify TEXT...`: the labels of texts, or of pairs of texts. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { type Classification, classifyText, type LabelFunction } from "../../bert/tasks/text_classification.ts";
import { type CommonOptions, newCommand, positiveInteger, TEXTS } from "./command.ts";
import { printable, scoreText } from "./output.ts";
import { answer, withSession } from "./session.ts";

interface ClassifyOptions extends CommonOptions {
  readonly topK: number | "all";
  readonly function?: LabelFunction;
  readonly pair?: string;
}

export function classifyCommand(): Command {
  return newCommand("classify", "label texts")
    .argument(...TEXTS)
    .option("--top-k <N>", 'labels for each text, or "all"', integerOrAll, 1)
    .addOption(
      new Option(
        "--function <NAME>",
        "from logits to scores (default: what the model's kind of problem asks for)",
      ).choices(["softmax", "sigmoid", "none"]),
    )
    .option("--pair <TEXT>", "second text, judged together with each TEXT")
    .action((texts: readonly string[], options: ClassifyOptions) =>
      withSession(options, async ({ taskOptions, start }) => {
        const { json, function: functionToApply, pair } = options;
        const topK = options.topK === "all" ? null : options.topK;
        const second = pair !== undefined && { text_pair: pair };
        await answer(
          texts,
          async (batch) => {
            const { pretrained } = await start();
            const inputs = pair === undefined ? batch : batch.map((text) => ({ text, pair }));
            return classifyText(pretrained, inputs, { ...taskOptions, topK, functionToApply });
          },
          (text, labels) => (json ? JSON.stringify({ text, ...second, labels }) : labelText(text, labels)),
        );
      }),
    );
}

/** For people: the labels, then the text. */
export function labelText(text: string, labels: readonly Classification[]): string {
  // labels differ in length, and which comes first differs by text: a common width keeps the texts in one column
  const width = Math.max(...labels.map(({ label }) => label.length), 8);
  const scores = labels.map(({ label, score }) => `${scoreText(score)} ${printable(label).padEnd(width)}`);
  return `${scores.join(" ")}  ${printable(text)}`;
}

function integerOrAll(text: string): number | "all" {
  if (text === "all") return text;
  try {
    return positiveInteger(text);
  } catch {
    throw new InvalidArgumentError('It must be a whole number from 1, or "all".');
  }
}
