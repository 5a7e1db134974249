/** `classify TEXT...`: the labels of texts, or of pairs of texts. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { createTask } from "../../bert/tasks/task.ts";
import type { Classification, LabelFunction } from "../../bert/tasks/text_classification.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand, positiveInteger, TEXTS } from "./command.ts";
import { printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

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
      withSession(options, (session) => {
        const { json, function: functionToApply, pair } = options;
        const settings = {
          ...session.taskOptions,
          topK: options.topK === "all" ? null : options.topK,
          functionToApply,
        };
        const second = pair !== undefined && { text_pair: pair };
        return answerStream(session, texts, {
          run: (pretrained, inputs) =>
            createTask(pretrained, "text-classification", settings).stream(
              pair === undefined ? inputs : withPair(inputs, pair),
            ),
          show: (text, labels) => (json ? JSON.stringify({ text, ...second, labels }) : labelText(text, labels)),
        });
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

async function* withPair(
  texts: AsyncIterable<string>,
  pair: string,
): AsyncGenerator<{ readonly text: string; readonly pair: string }> {
  for await (const text of texts) yield { text, pair };
}

function integerOrAll(text: string): number | "all" {
  if (text === "all") return text;
  try {
    return positiveInteger(text);
  } catch {
    throw new InvalidArgumentError('It must be a whole number from 1, or "all".');
  }
}
