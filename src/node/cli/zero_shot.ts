/** `zero-shot TEXT...`: any labels, judged by a model of entailment. */

import type { Command } from "commander";
import { createTask } from "../../bert/tasks/task.ts";
import { planZeroShot, type ZeroShot } from "../../bert/tasks/zero_shot.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand, wordList } from "./command.ts";
import { type FileOptions, fileOptions, TEXTS_OR_INPUT } from "./file_options.ts";
import { answerFile, fromFile } from "./files.ts";
import { aligned, printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

interface ZeroShotCommandOptions extends CommonOptions, FileOptions {
  readonly labels: readonly string[];
  readonly template: string;
  readonly multiLabel: boolean;
}

export function zeroShotCommand(): Command {
  return fileOptions(
    newCommand("zero-shot", "label texts with labels of your own, with a model of entailment").argument(
      ...TEXTS_OR_INPUT,
    ),
  )
    .requiredOption("--labels <LABELS>", "labels, separated by commas", wordList)
    .option("--template <TEXT>", "a sentence with {} where the label goes", "This example is {}.")
    .option("--multi-label", "judge every label by itself", false)
    .action((texts: readonly string[], options: ZeroShotCommandOptions) =>
      withSession(options, (session) => {
        const { json, labels: candidateLabels, template: hypothesisTemplate, multiLabel } = options;
        const settings = { ...session.taskOptions, candidateLabels, hypothesisTemplate, multiLabel };
        const show = (text: string, { labels, scores }: ZeroShot): string =>
          json ? session.json({ text, labels, scores }) : ranking(text, labels, scores);
        if (fromFile(options)) {
          return answerFile(session, options, {
            command: "zero-shot",
            settings: { candidateLabels, hypothesisTemplate, multiLabel },
            read: [options.column],
            input: ([text]) => text!,
            plan: (pretrained) => planZeroShot(pretrained, settings),
            columns: [
              { name: "text", type: "text", from: options.column },
              { name: "label", type: "text" },
              { name: "score", type: "number" },
              { name: "labels", type: "json" },
              { name: "scores", type: "json" },
            ],
            values: (text, { labels, scores }) => ({ text, label: labels[0], score: scores[0], labels, scores }),
            show,
          });
        }
        return answerStream(session, texts, {
          run: (pretrained, inputs) => createTask(pretrained, "zero-shot-classification", settings).stream(inputs),
          show,
        });
      }),
    );
}

function ranking(text: string, labels: ZeroShot["labels"], scores: ZeroShot["scores"]): string {
  const rows = labels.map((label, i) => [scoreText(scores[i]!), printable(label)]);
  return [printable(text), ...aligned(rows)].join("\n");
}
