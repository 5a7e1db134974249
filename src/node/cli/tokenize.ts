/** `tokenize TEXT...`: the word pieces of texts, with their ids and places. */

import type { Command } from "commander";
import type { EncodeOptions, Encoding } from "../../bert/tokenizer/tokenizer.ts";
import { type CommonOptions, newCommand, positiveInteger, TEXTS } from "./command.ts";
import { InputError } from "./failure.ts";
import { inspectTokenizer, NO_TOKENIZER } from "./inspect.ts";
import { openModelFolder } from "./model.ts";
import { aligned, printable, warnings } from "./output.ts";
import { answer } from "./session.ts";

interface TokenizeOptions extends CommonOptions {
  readonly pair?: string;
  readonly maxLength?: number;
  readonly special: boolean;
}

export function tokenizeCommand(): Command {
  return newCommand("tokenize", "show the word pieces of texts; offsets are in UTF-16 units", { gpu: false })
    .argument(...TEXTS)
    .option("--pair <TEXT>", "second text, encoded together with each TEXT")
    .option("--max-length <N>", "cut longer texts to this many tokens, special ones included", positiveInteger)
    .option("--no-special", "leave out [CLS] and [SEP]")
    .action(tokenize);
}

async function tokenize(texts: readonly string[], options: TokenizeOptions): Promise<void> {
  const { json, pair, maxLength, special } = options;
  const folder = await openModelFolder(options.model, { weights: false, json, verify: options.verify });
  const { tokenizer, faults } = await inspectTokenizer(folder);
  if (!tokenizer) throw new InputError(`${folder.name}: ${faults[0] ?? NO_TOKENIZER}`);
  const encode: EncodeOptions = {
    addSpecialTokens: special,
    ...(maxLength && { maxLength, truncation: "longest_first" }),
  };
  const { warn, end } = warnings();
  const encoded = (text: string): Encoding =>
    tokenizer.encode(text, pair, {
      ...encode,
      onCut: (tokens, exact) =>
        warn(
          `${JSON.stringify(text.slice(0, 40))} has ${exact ? "" : "more than "}${tokens} tokens, --max-length is ${maxLength}: the rest is left out`,
        ),
    });
  try {
    await answer(
      texts,
      async (batch) => batch.map(encoded),
      (text, encoding) => (json ? asJson(text, pair, encoding) : asText(text, encoding)),
    );
  } finally {
    end();
  }
}

function asJson(text: string, pair: string | undefined, { ids, tokens, offsets, typeIds }: Encoding): string {
  return JSON.stringify({
    text,
    ...(pair !== undefined && { text_pair: pair }),
    ids,
    tokens,
    offsets,
    type_ids: typeIds,
  });
}

function asText(text: string, { ids, tokens, offsets }: Encoding): string {
  const rows = tokens.map((token, i) => [`${ids[i]}`.padStart(6), printable(token), offsets[i]!.join("-")]);
  return [printable(text), ...aligned(rows)].join("\n");
}
