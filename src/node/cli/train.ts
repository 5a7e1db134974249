/** `train KIND`: trains a BERT on the GPU, into a model folder that every command and transformers read. */

import { Command, Option } from "commander";
import { positiveInteger } from "./command.ts";
import { prepareAnswer } from "./train/answer.ts";
import { prepareClassify } from "./train/classify.ts";
import { prepareEmbed } from "./train/embed.ts";
import { prepareMlm, preparePretrain } from "./train/masked.ts";
import { aboveZero, dimensions, share, type TrainOptions, trainOptions } from "./train/options.ts";
import type { Prepare } from "./train/prepared.ts";
import { train } from "./train/run.ts";
import { prepareTag } from "./train/tag.ts";
import { tokenizerOptions, trainTokenizer } from "./train/tokenizer.ts";

const HELP = {
  mlm: `
Input: a text a row; what is longer than --max-length is parted. Masks are others in every epoch.
Metrics: loss, perplexity, accuracy (of hidden word pieces)`,
  pretrain: `
Input: a sentence a line, a blank line between documents. Pairs are cut anew in every epoch: B follows A in half of them.
Metrics: loss (of both), mlm_loss, perplexity, accuracy (of hidden word pieces), next_loss, next_accuracy`,
  classify: `
Input: columns of CSV, TSV, JSON Lines or Parquet. A label is a name or a number; a list of JSON Lines or Parquet, or with
  --problem-type multi_label_classification a text with commas, is several labels; numbers that are not whole are for
  regression. A model that has a classifier keeps its labels, others get those of the data.
Metrics: accuracy, f1, precision, recall (means over labels), loss; of several labels f1 (of all together), f1_macro,
  accuracy (all labels of a row right), loss; of regression pearson, spearman, loss`,
  tag: `
Input: CoNLL (a word and its tag a line, a blank line after each sentence), or JSON Lines and Parquet with lists in columns
  tokens and tags. The first piece of a word learns its tag.
Metrics: f1, precision, recall (of whole entities, as in seqeval, where tags are those of entities), accuracy, loss`,
  answer: `
Input: SQuAD's JSON, 1.1 or 2.0, or columns question, context, answers: { text: [...], answer_start: [...] }, or a text.
Metrics: f1, exact_match (as SQuAD defines them), loss`,
  embed: `
Input: columns of CSV, TSV, JSON Lines or Parquet: anchor, positive and any negative, negative_1, negative_2, ...; or
  sentence1, sentence2 and a score.
Losses, as sentence-transformers defines them: mnrl (each anchor's positive among those of all rows of the batch, and all
  negatives; no text is in a batch twice), cosent (pairs in the order of their scores), cosine (the squared error of the
  cosine), triplet (Euclidean distances). Larger batches are better for mnrl: with --mini-batch-size a batch is computed in
  parts, and its step is still that of the whole.
DIR also has the files of sentence-transformers; pooling, prompts and length are those of the model's folder.
Metrics: spearman, pearson (of cosine and score); of pairs mrr@10, recall@1, recall@5, recall@10, each anchor searched for
  among all positives and negatives`,
};

export function trainCommand(): Command {
  const command = new Command("train").description(
    "train a model: masked LM, pre-training, labels, tags, answers, vectors; or a tokenizer",
  );
  const kind = (
    name: keyof typeof HELP,
    description: string,
    prepare: Prepare,
    columns: Parameters<typeof trainOptions>[1],
  ): Command => {
    const own = trainOptions(new Command(name).description(description), columns)
      .addHelpText("after", HELP[name])
      .action((options: TrainOptions) => train(name, options, prepare));
    command.addCommand(own);
    return own;
  };
  const masked = (own: Command): Command =>
    own
      .option("--mask-share <SHARE>", "share of word pieces that are to be guessed", share, 0.15)
      .option("--whole-word", "hide all pieces of a word or none", false);
  const labelled = (own: Command): Command =>
    own.option("--new-labels", "labels are those of the data, whatever labels the model has", false);
  const seconds = "second texts";
  masked(
    kind("mlm", "learn to guess word pieces that are hidden (masked language modelling)", prepareMlm, {
      text: "text",
      pair: seconds,
    }),
  ).option(
    "--shuffle-buffer <N>",
    "for files larger than memory: read them anew in each epoch, in an order drawn among N texts",
    positiveInteger,
  );
  masked(kind("pretrain", "as BERT was: word pieces that are hidden, and whether a text follows", preparePretrain, {}));
  labelled(
    kind("classify", "learn labels of texts, or of pairs of texts", prepareClassify, {
      ...{ text: "text", pair: seconds, label: "label" },
    }),
  ).addOption(
    new Option("--problem-type <NAME>", "what labels are (default: by the data)").choices([
      ...["single_label_classification", "multi_label_classification", "regression"],
    ]),
  );
  labelled(kind("tag", "learn tags of words, such as named entities", prepareTag, { text: "tokens", label: "tags" }));
  kind("answer", "learn where in a text the answer to a question stands", prepareAnswer, {
    ...{ text: "question", pair: "contexts (default: context)", label: "answers" },
  })
    .option("--doc-stride <N>", "tokens of context that a window shares with the one before", positiveInteger, 128)
    .option("--max-answer-len <N>", "tokens of an answer, in evaluations", positiveInteger, 30);
  kind("embed", "learn vectors of texts, near each other for those that belong together", prepareEmbed, {
    ...{ text: "anchor, or sentence1", pair: "the texts that belong to them (default: positive, or sentence2)" },
    ...{ label: "score", answers: "how similar they are" },
  })
    .option(
      "--negative-column <NAME...>",
      "columns with texts that do not belong to them (default: negative, negative_1...)",
    )
    .addOption(
      new Option("--loss <NAME>", "what is learnt by (default: cosent with a score, else mnrl)").choices([
        ...["mnrl", "cosent", "cosine", "triplet"],
      ]),
    )
    .addOption(
      new Option("--pooling <NAME>", "of tokens into a vector (default: as the model's folder, else mean)").choices([
        ...["mean", "cls", "max"],
      ]),
    )
    .option("--scale <FACTOR>", "of cosines, in mnrl and cosent (default: 20)", aboveZero)
    .option("--margin <DISTANCE>", "between positives and negatives, in triplet (default: 5)", aboveZero)
    .option(
      "--matryoshka <N,N...>",
      "learn the first so many dimensions each by itself, such as 256,128,64",
      dimensions,
    )
    .option("--mini-batch-size <N>", "rows of a batch that are in memory together (default: all)", positiveInteger);
  const vocabulary = new Command("tokenizer").description("make a WordPiece vocabulary of texts (needs no GPU)");
  command.addCommand(tokenizerOptions(vocabulary).action(trainTokenizer));
  return command;
}
