/** `embed TEXT...`: one vector per text. */

import { type Command, Option } from "commander";
import { embedText } from "../../bert/tasks/feature_extraction.ts";
import type { PoolMode } from "../../runtime/ops.ts";
import { type CommonOptions, newCommand, TEXTS } from "./command.ts";
import { printable } from "./output.ts";
import { answer, withSession } from "./session.ts";

interface EmbedOptions extends CommonOptions {
  readonly pooling: PoolMode;
  readonly normalize: boolean;
}

export function embedCommand(): Command {
  return newCommand("embed", "turn texts into vectors; with --json in full")
    .argument(...TEXTS)
    .addOption(
      new Option("--pooling <MODE>", "how tokens become one vector").choices(["mean", "cls", "max"]).default("mean"),
    )
    .option("--no-normalize", "leave vectors as long as they are, instead of scaling them to length 1")
    .action((texts: readonly string[], options: EmbedOptions) =>
      withSession(options, async ({ taskOptions, start }) => {
        const { json, pooling, normalize } = options;
        await answer(
          texts,
          async (batch) => embedText((await start()).pretrained, batch, { ...taskOptions, pooling, normalize }),
          (text, vector) => (json ? vectorJson(text, vector) : vectorText(text, vector)),
        );
      }),
    );
}

function vectorJson(text: string, vector: Float32Array): string {
  // 9 digits tell any two f32 apart; a float64's 17 would double the output
  return JSON.stringify({ text, embedding: Array.from(vector, (value) => Number(value.toPrecision(9))) });
}

function vectorText(text: string, vector: Float32Array): string {
  const length = Math.hypot(...vector).toFixed(4);
  const first = Array.from(vector.subarray(0, 4), (value) => value.toFixed(4).padStart(7)).join(" ");
  return `${vector.length} values, length ${length}: ${first} ...  ${printable(text)}`;
}
