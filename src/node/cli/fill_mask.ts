/** `fill-mask TEXT...`: what may stand behind [MASK]. */

import type { Command } from "commander";
import type { MaskFill } from "../../bert/tasks/fill_mask.ts";
import { createTask } from "../../bert/tasks/task.ts";
import type { Tokenizer } from "../../bert/tokenizer/tokenizer.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand, positiveInteger, TEXTS, wordList } from "./command.ts";
import { aligned, printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

interface FillOptions extends CommonOptions {
  readonly topK: number;
  readonly targets?: readonly string[];
}

export function fillMaskCommand(): Command {
  return newCommand("fill-mask", "fill [MASK] in texts with the most probable word pieces")
    .argument(...TEXTS)
    .option("--top-k <N>", "candidates for each mask", positiveInteger, 5)
    .option("--targets <WORDS>", "score only these words, separated by commas", wordList)
    .action((texts: readonly string[], options: FillOptions) =>
      withSession(options, (session) => {
        const { json, topK, targets } = options;
        const { tokenizer, taskOptions } = session;
        return answerStream(session, texts, {
          run: (pretrained, inputs) =>
            createTask(pretrained, "fill-mask", { ...taskOptions, topK, targets }).stream(inputs),
          show: (text, fills) => (json ? JSON.stringify({ text, fills }) : fillText(text, fills).join("\n")),
          lacks: (text) => (hasMask(tokenizer, text) ? undefined : `no ${maskToken(tokenizer)}`),
        });
      }),
    );
}

/** For people: the text, then per mask its candidates. */
export function fillText(text: string, fills: readonly (readonly MaskFill[])[]): string[] {
  const lines = [printable(text)];
  fills.forEach((candidates, mask) => {
    if (fills.length > 1) lines.push(`mask ${mask + 1}`);
    const rows = candidates.map(({ score, token_str, sequence }) => [
      scoreText(score),
      printable(token_str),
      printable(sequence),
    ]);
    lines.push(...aligned(rows));
  });
  return lines;
}

export function hasMask(tokenizer: Tokenizer, text: string): boolean {
  const { mask } = tokenizer.special;
  return mask !== undefined && tokenizer.encode(text).ids.includes(mask);
}

export function maskToken({ special, idToToken }: Tokenizer): string {
  return (special.mask !== undefined && idToToken(special.mask)) || "[MASK]";
}
