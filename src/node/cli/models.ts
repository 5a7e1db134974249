/** `models`: what has been downloaded from the Hugging Face hub. */

import { Command } from "commander";
import { hubCacheDir } from "../hub/environment.ts";
import { type CachedModel, type CachedRevision, scanHubCache } from "../hub/scan.ts";
import { aligned, megabytes, print, printable, say } from "./output.ts";

/** By the architecture that config.json names. */
const TASKS: Readonly<Record<string, readonly string[]>> = {
  BertModel: ["feature-extraction"],
  BertForMaskedLM: ["fill-mask"],
  BertForPreTraining: ["fill-mask", "next-sentence"],
  BertForNextSentencePrediction: ["next-sentence"],
  BertForSequenceClassification: ["text-classification"],
  BertForTokenClassification: ["token-classification"],
  BertForQuestionAnswering: ["question-answering"],
  BertForMultipleChoice: ["multiple-choice"],
};

export function modelsCommand(): Command {
  return new Command("models")
    .description(
      "list the models and adapters of the Hugging Face hub that are on this disk, with their sizes and tasks",
    )
    .option("--json", "JSON Lines: one object per line", false)
    .addHelpText("after", "\nThey lie in HF_HUB_CACHE, else in hub/ of HF_HOME, else in ~/.cache/huggingface/hub.")
    .action(models);
}

async function models({ json }: { readonly json: boolean }): Promise<void> {
  const folder = hubCacheDir();
  const found = await scanHubCache(folder);
  if (json) {
    for (const model of found) await print(JSON.stringify(asJson(model)));
    return;
  }
  for (const line of aligned(found.flatMap(rowsOf))) await print(line);
  const total = found.reduce((sum, { bytes }) => sum + bytes, 0);
  const count = `${found.length} model${found.length === 1 ? "" : "s"}`;
  say(`${count}, ${megabytes(total)} in ${folder}`);
}

function asJson({ name, path, bytes, incompleteBytes, revisions }: CachedModel): unknown {
  return {
    model: name,
    path,
    bytes,
    incomplete_bytes: incompleteBytes,
    revisions: revisions.map((revision) => ({ ...revision, tasks: tasksOf(revision) })),
  };
}

/** A row per revision; what has only begun to arrive has none. */
function rowsOf({ name, bytes, incompleteBytes, revisions }: CachedModel): string[][] {
  const partly = incompleteBytes > 0 ? [`${megabytes(incompleteBytes)} of a download that was interrupted`] : [];
  const rows = revisions.map((revision, i) => [
    name,
    [...revision.refs, revision.commit.slice(0, 7)].join(" "),
    megabytes(revision.bytes).padStart(9),
    revision.adapter ? "adapter" : tasksOf(revision).join(", ") || revision.architectures.join(", ") || "unknown task",
    [...(revision.missing.length > 0 ? [`lacks ${revision.missing.join(", ")}`] : []), ...(i === 0 ? partly : [])].join(
      "; ",
    ),
  ]);
  return (rows.length > 0 ? rows : [[name, "-", megabytes(bytes).padStart(9), "-", partly.join("")]]).map((row) =>
    row.map(printable),
  );
}

function tasksOf({ architectures }: CachedRevision): string[] {
  return [...new Set(architectures.flatMap((name) => (Object.hasOwn(TASKS, name) ? TASKS[name]! : [])))];
}
