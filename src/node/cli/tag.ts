/** `tag TEXT...`: the named entities of texts, or what else a model labels words with. */

import { type Command, Option } from "commander";
import { createTask } from "../../bert/tasks/task.ts";
import {
  type AggregationStrategy,
  type Entity,
  planTokenClassification,
} from "../../bert/tasks/token_classification.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand, positiveInteger, wordList } from "./command.ts";
import { type FileOptions, fileOptions, TEXTS_OR_INPUT } from "./file_options.ts";
import { answerFile, fromFile } from "./files.ts";
import { aligned, printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

interface TagOptions extends CommonOptions, FileOptions {
  readonly strategy: AggregationStrategy;
  readonly ignore: readonly string[];
  readonly stride?: number;
}

export function tagCommand(): Command {
  return fileOptions(newCommand("tag", "find named entities; offsets are in UTF-16 units").argument(...TEXTS_OR_INPUT))
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
        const show = (text: string, entities: readonly Entity[]): string =>
          json ? session.json({ text, entities }) : entityText(text, entities);
        if (fromFile(options)) {
          return answerFile(session, options, {
            command: "tag",
            settings: { aggregationStrategy, ignoreLabels, stride },
            read: [options.column],
            input: ([text]) => text!,
            plan: (pretrained) => planTokenClassification(pretrained, settings),
            columns: [
              { name: "text", type: "text", from: options.column },
              { name: "entities", type: "json" },
            ],
            values: (text, entities) => ({ text, entities }),
            show,
          });
        }
        return answerStream(session, texts, {
          run: (pretrained, inputs) => createTask(pretrained, "token-classification", settings).stream(inputs),
          show,
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
