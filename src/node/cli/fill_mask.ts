/** `fill-mask TEXT...`: what may stand behind [MASK]. */

import type { Command } from "commander";
import { type MaskFill, planFillMask } from "../../bert/tasks/fill_mask.ts";
import { createTask } from "../../bert/tasks/task.ts";
import type { Tokenizer } from "../../bert/tokenizer/tokenizer.ts";
import { answerStream } from "./answer_stream.ts";
import { type CommonOptions, newCommand, positiveInteger, wordList } from "./command.ts";
import { type FileOptions, fileOptions, TEXTS_OR_INPUT } from "./file_options.ts";
import { answerFile, fromFile } from "./files.ts";
import { aligned, printable, scoreText } from "./output.ts";
import { withSession } from "./session.ts";

interface FillOptions extends CommonOptions, FileOptions {
  readonly topK: number;
  readonly targets?: readonly string[];
}

export function fillMaskCommand(): Command {
  return fileOptions(
    newCommand("fill-mask", "fill [MASK] in texts with the most probable word pieces").argument(...TEXTS_OR_INPUT),
  )
    .option("--top-k <N>", "candidates for each mask", positiveInteger, 5)
    .option("--targets <WORDS>", "score only these words, separated by commas", wordList)
    .action((texts: readonly string[], options: FillOptions) =>
      withSession(options, (session) => {
        const { json, topK, targets } = options;
        const { tokenizer, taskOptions } = session;
        const show = (text: string, fills: readonly (readonly MaskFill[])[]): string =>
          json ? session.json({ text, fills }) : fillText(text, fills).join("\n");
        if (fromFile(options)) {
          return answerFile(session, options, {
            command: "fill-mask",
            settings: { topK, targets },
            read: [options.column],
            input: ([text]) => text!,
            plan: (pretrained) => planFillMask(pretrained, { ...taskOptions, topK, targets }),
            columns: [
              { name: "text", type: "text", from: options.column },
              { name: "fills", type: "json" },
            ],
            values: (text, fills) => ({ text, fills }),
            show,
          });
        }
        return answerStream(session, texts, {
          run: (pretrained, inputs) =>
            createTask(pretrained, "fill-mask", { ...taskOptions, topK, targets }).stream(inputs),
          show,
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
