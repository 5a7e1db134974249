/** `tag TEXT...`: the named entities of texts, or what else a model labels words with. */

import { type Command, Option } from "commander";
import { createTask } from "../../bert/tasks/task.ts";
import type { AggregationStrategy, Entity } from "../../bert/tasks/token_classification.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand, positiveInteger, TEXTS, wordList } from "./command.ts";
import { aligned, printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

interface TagOptions extends CommonOptions {
  readonly strategy: AggregationStrategy;
  readonly ignore: readonly string[];
  readonly stride?: number;
}

export function tagCommand(): Command {
  return newCommand("tag", "find named entities; offsets are in UTF-16 units")
    .argument(...TEXTS)
    .addOption(
      new Option("--strategy <NAME>", "how word pieces become entities")
        .choices(["none", "simple", "first", "average", "max"])
        .default("simple"),
    )
    .option("--ignore <LABELS>", "labels to leave out, separated by commas", wordList, ["O"])
    .option("--stride <N>", "tokens that two windows over a long text share", positiveInteger)
    .action((texts: readonly string[], options: TagOptions) =>
      withSession(options, (session) => {
        const { json, strategy: aggregationStrategy, ignore: ignoreLabels, stride } = options;
        const settings = { ...session.taskOptions, aggregationStrategy, ignoreLabels, stride };
        return answerStream(session, texts, {
          run: (pretrained, inputs) => createTask(pretrained, "token-classification", settings).stream(inputs),
          show: (text, entities) => (json ? JSON.stringify({ text, entities }) : entityText(text, entities)),
        });
      }),
    );
}

function entityText(text: string, entities: readonly Entity[]): string {
  const rows = entities.map((entity) => [
    scoreText(entity.score),
    "entity" in entity ? entity.entity : entity.entity_group,
    `${entity.start}-${entity.end}`,
    printable(text.slice(entity.start, entity.end)),
  ]);
  return [printable(text), ...aligned(rows)].join("\n");
}
