/** `rerank QUERY DOCUMENT...`: documents in the order in which they answer a query. */

import { type Command, Option } from "commander";
import { type RankingMethod, rerank } from "../../bert/tasks/rerank.ts";
import { allTexts } from "./answer_stream.ts";
import { newCommand, positiveInteger } from "./command.ts";
import { type VectorCommandOptions, vectorOptions, vectorSettings } from "./embed.ts";
import { aligned, print, printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

interface RerankOptions extends VectorCommandOptions {
  readonly topK?: number;
  readonly method?: RankingMethod;
}

export function rerankCommand(): Command {
  return vectorOptions(
    newCommand("rerank", "put documents in the order in which they answer a query")
      .argument("<QUERY>", "what is looked for")
      .argument("<DOCUMENT...>", "documents; - reads lines from standard input")
      .option("--top-k <N>", "documents to show (default: all)", positiveInteger)
      .addOption(
        new Option(
          "--method <NAME>",
          "read query and document together, compare their tokens' vectors, or a vector of each (default: by the model)",
        ).choices(["cross-encoder", "late-interaction", "embeddings"] satisfies RankingMethod[]),
      ),
  ).action((query: string, texts: readonly string[], options: RerankOptions) =>
    withSession(options, async ({ taskOptions, start, json: asJson }) => {
      const { json, topK, method } = options;
      const documents = await allTexts(texts);
      if (documents.length === 0) return;
      const { pretrained } = await start();
      const settings = { ...taskOptions, ...vectorSettings(options), topK, method };
      const [ranked] = await rerank(pretrained, [{ query, documents }], settings);
      const lines = json
        ? ranked!.map((document) => asJson({ query, ...document }))
        : aligned(ranked!.map(({ corpus_id, score, text }) => [scoreText(score), `${corpus_id}`, printable(text)]));
      for (const line of lines) await print(line);
    }),
  );
}
