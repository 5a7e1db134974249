/** `zero-shot TEXT...`: any labels, judged by a model of entailment. */

import type { Command } from "commander";
import { createTask } from "../../bert/tasks/task.ts";
import type { ZeroShot } from "../../bert/tasks/zero_shot.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand, TEXTS, wordList } from "./command.ts";
import { aligned, printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

interface ZeroShotCommandOptions extends CommonOptions {
  readonly labels: readonly string[];
  readonly template: string;
  readonly multiLabel: boolean;
}

export function zeroShotCommand(): Command {
  return newCommand("zero-shot", "label texts with labels of your own, with a model of entailment")
    .argument(...TEXTS)
    .requiredOption("--labels <LABELS>", "labels, separated by commas", wordList)
    .option("--template <TEXT>", "a sentence with {} where the label goes", "This example is {}.")
    .option("--multi-label", "judge every label by itself", false)
    .action((texts: readonly string[], options: ZeroShotCommandOptions) =>
      withSession(options, (session) => {
        const { json, labels: candidateLabels, template: hypothesisTemplate, multiLabel } = options;
        const settings = { ...session.taskOptions, candidateLabels, hypothesisTemplate, multiLabel };
        return answerStream(session, texts, {
          run: (pretrained, inputs) => createTask(pretrained, "zero-shot-classification", settings).stream(inputs),
          show: (text, { labels, scores }) =>
            json ? JSON.stringify({ text, labels, scores }) : ranking(text, labels, scores),
        });
      }),
    );
}

function ranking(text: string, labels: ZeroShot["labels"], scores: ZeroShot["scores"]): string {
  const rows = labels.map((label, i) => [scoreText(scores[i]!), printable(label)]);
  return [printable(text), ...aligned(rows)].join("\n");
}
