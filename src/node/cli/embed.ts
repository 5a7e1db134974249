/** `embed TEXT...`: one vector per text, with --sparse weights of word pieces. */

import { type Command, Option } from "commander";
import type { Pooling } from "../../bert/tasks/pooling.ts";
import type { Precision } from "../../bert/tasks/precision.ts";
import { planSentenceEmbedding } from "../../bert/tasks/sentence_embedding.ts";
import { planSparseEmbedding, type SparseEntry } from "../../bert/tasks/sparse_embedding.ts";
import { createTask } from "../../bert/tasks/task.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand, positiveInteger } from "./command.ts";
import { type FileOptions, fileOptions, TEXTS_OR_INPUT } from "./file_options.ts";
import { answerFile, fromFile } from "./files.ts";
import { printable } from "./output.ts";
import { type Session, withSession } from "./session.ts";

/** How texts become vectors, by the options of all commands that need them. */
export interface VectorCommandOptions extends CommonOptions {
  readonly pooling?: Pooling;
  readonly normalize: boolean;
  readonly prompt?: string;
  readonly promptName?: string;
  readonly truncateDim?: number;
}

interface EmbedOptions extends VectorCommandOptions, FileOptions {
  readonly precision: Precision;
  readonly sparse?: boolean;
}

type Vector = Float32Array | Int8Array | Uint8Array;

export function embedCommand(): Command {
  return vectorOptions(
    fileOptions(newCommand("embed", "turn texts into vectors; with --json in full").argument(...TEXTS_OR_INPUT)),
  )
    .addOption(
      new Option("--precision <TYPE>", "fewer bits per value: a byte, scaled to the vector's largest, or its sign")
        .choices(["float32", "int8", "uint8", "binary", "ubinary"])
        .default("float32"),
    )
    .addOption(
      new Option("--sparse", "weights of word pieces, heaviest first, by a masked-LM head (SPLADE)").conflicts([
        "pooling",
        "normalize",
        "prompt",
        "promptName",
        "truncateDim",
        "precision",
      ]),
    )
    .action((texts: readonly string[], options: EmbedOptions) =>
      withSession(options, (session) => {
        if (options.sparse) return embedSparsely(session, texts, options);
        const { precision } = options;
        const settings = { ...session.taskOptions, ...vectorSettings(options), precision };
        const show = (text: string, vector: Vector): string =>
          options.json ? session.json(vectorFields(text, vector)) : vectorText(text, vector);
        if (fromFile(options)) {
          return answerFile(session, options, {
            command: "embed",
            settings: { ...vectorSettings(options), precision },
            read: [options.column],
            input: ([text]) => text!,
            plan: (pretrained) => planSentenceEmbedding(pretrained, settings),
            columns: [
              { name: "text", type: "text", from: options.column },
              { name: "embedding", type: "vector" },
            ],
            values: (text, embedding) => ({ text, embedding }),
            show,
          });
        }
        return answerStream(session, texts, {
          run: (pretrained, inputs) => createTask(pretrained, "sentence-embedding", settings).stream(inputs),
          show,
        });
      }),
    );
}

/** A word piece's weight, with the piece itself for whoever reads it. */
interface WeightedPiece extends SparseEntry {
  readonly token: string;
}

function embedSparsely(session: Session, texts: readonly string[], options: EmbedOptions): Promise<void> {
  const { taskOptions: settings, tokenizer } = session;
  const named = (entries: readonly SparseEntry[]): WeightedPiece[] =>
    entries.map(({ index, value }) => ({
      index,
      token: tokenizer.idToToken(index) ?? "",
      value: Number(value.toPrecision(9)),
    }));
  const show = (text: string, entries: readonly SparseEntry[]): string => {
    if (options.json) return session.json({ text, sparse_embedding: named(entries) });
    const first = named(entries.slice(0, 6)).map(({ token, value }) => `${token} ${value.toFixed(4)}`);
    return `${entries.length} word pieces: ${printable([...first, "..."].join("  "))}  ${printable(text)}`;
  };
  if (fromFile(options)) {
    return answerFile(session, options, {
      command: "embed --sparse",
      settings: {},
      read: [options.column],
      input: ([text]) => text!,
      plan: (pretrained) => planSparseEmbedding(pretrained, settings),
      columns: [
        { name: "text", type: "text", from: options.column },
        { name: "sparse_embedding", type: "json" },
      ],
      values: (text, entries) => ({ text, sparse_embedding: named(entries) }),
      show,
    });
  }
  return answerStream(session, texts, {
    run: (pretrained, inputs) => createTask(pretrained, "sparse-embedding", settings).stream(inputs),
    show,
  });
}

export function vectorOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--pooling <MODE>",
        "how tokens become one vector (default: as the model's modules.json says, else mean)",
      ).choices(["mean", "cls", "max", "mean_sqrt_len", "weighted_mean", "last_token"] satisfies Pooling[]),
    )
    .option("--no-normalize", "leave vectors as long as they are, instead of scaling them to length 1")
    .option("--prompt <TEXT>", "put before every text")
    .option("--prompt-name <NAME>", "one of the model's own prompts, such as query")
    .option("--truncate-dim <N>", "keep the first N dimensions", positiveInteger);
}

/** Without --no-normalize the model's folder decides. */
export function vectorSettings({ pooling, normalize, prompt, promptName, truncateDim }: VectorCommandOptions): {
  readonly pooling: Pooling | undefined;
  readonly normalize: false | undefined;
  readonly prompt: string | undefined;
  readonly promptName: string | undefined;
  readonly truncateDim: number | undefined;
} {
  return { pooling, normalize: normalize ? undefined : false, prompt, promptName, truncateDim };
}

function vectorFields(text: string, vector: Vector): object {
  // 9 digits tell any two f32 apart; a float64's 17 would double the output
  return { text, embedding: Array.from(vector, (value) => Number(value.toPrecision(9))) };
}

function vectorText(text: string, vector: Vector): string {
  const digits = vector instanceof Float32Array ? 4 : 0;
  const length = Math.hypot(...vector).toFixed(digits);
  const first = Array.from(vector.subarray(0, 4), (value) => value.toFixed(digits).padStart(digits + 3)).join(" ");
  return `${vector.length} values, length ${length}: ${first} ...  ${printable(text)}`;
}
