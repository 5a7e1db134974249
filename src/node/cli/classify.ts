/** `classify TEXT...`: the labels of texts, or of pairs of texts. */

import { type Command, InvalidArgumentError, Option } from "commander";
import type { TextInput } from "../../bert/tasks/pretrained.ts";
import { createTask } from "../../bert/tasks/task.ts";
import {
  type Classification,
  type LabelFunction,
  planTextClassification,
} from "../../bert/tasks/text_classification.ts";
import type { Column } from "../data/rows.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand, positiveInteger } from "./command.ts";
import { type FileOptions, fileOptions, TEXTS_OR_INPUT } from "./file_options.ts";
import { answerFile, fromFile } from "./files.ts";
import { printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

interface ClassifyOptions extends CommonOptions, FileOptions {
  readonly topK: number | "all";
  readonly function?: LabelFunction;
  readonly pair?: string;
  readonly pairColumn?: string;
}

export function classifyCommand(): Command {
  return fileOptions(newCommand("classify", "label texts").argument(...TEXTS_OR_INPUT))
    .option("--top-k <N>", 'labels for each text, or "all"', integerOrAll, 1)
    .addOption(
      new Option(
        "--function <NAME>",
        "from logits to scores (default: as a cross-encoder says, else what the kind of problem asks for)",
      ).choices(["softmax", "sigmoid", "none"]),
    )
    .option("--pair <TEXT>", "second text, judged together with each TEXT")
    .option("--pair-column <NAME>", "the column of --input with second texts")
    .action((texts: readonly string[], options: ClassifyOptions) =>
      withSession(options, (session) => {
        const { json, function: functionToApply, pair, column, pairColumn } = options;
        const topK = options.topK === "all" ? null : options.topK;
        const settings = { ...session.taskOptions, topK, functionToApply };
        if (fromFile(options)) {
          const second = pairColumn !== undefined || pair !== undefined;
          return answerFile(session, options, {
            command: "classify",
            settings: { topK, functionToApply, pair },
            read: [column, ...(pairColumn === undefined ? [] : [pairColumn])],
            input: ([text, other = pair]): TextInput => (other === undefined ? text! : { text: text!, pair: other }),
            plan: (pretrained) => planTextClassification(pretrained, settings),
            columns: [...textColumns(column, second, pairColumn), ...(topK === 1 ? BEST_COLUMNS : ALL_COLUMNS)],
            values: (input, labels) => ({ ...fieldsOf(input), ...(topK === 1 ? labels[0] : { labels }) }),
            show: (input, labels) => {
              const fields = fieldsOf(input);
              return json ? session.json({ ...fields, labels }) : labelText(fields.text, labels);
            },
          });
        }
        const second = pair !== undefined && { text_pair: pair };
        return answerStream(session, texts, {
          run: (pretrained, inputs) =>
            createTask(pretrained, "text-classification", settings).stream(
              pair === undefined ? inputs : withPair(inputs, pair),
            ),
          show: (text, labels) => (json ? session.json({ text, ...second, labels }) : labelText(text, labels)),
        });
      }),
    );
}

const BEST_COLUMNS: readonly Column[] = [
  { name: "label", type: "text" },
  { name: "score", type: "number" },
];

const ALL_COLUMNS: readonly Column[] = [{ name: "labels", type: "json" }];

function textColumns(column: string, pairs: boolean, pairColumn: string | undefined): Column[] {
  const pair = { name: "text_pair", type: "text", from: pairColumn } as const;
  return [{ name: "text", type: "text", from: column }, ...(pairs ? [pair] : [])];
}

function fieldsOf(input: TextInput): { readonly text: string; readonly text_pair?: string } {
  return typeof input === "string" ? { text: input } : { text: input.text, text_pair: input.pair };
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
