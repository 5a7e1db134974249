/** Fixtures of tokenizers: encodings, strided windows and decoded texts, all of them exactly. */

import { type EncodeOptions, loadTokenizer, openFolder, type TruncationStrategy } from "../../src/node/index.ts";
import { agreementOf } from "./agreement.ts";
import { exactFinding, type Finding, type Fixture } from "./fixture.ts";
import { codePointOffset } from "./offsets.ts";

interface Case {
  readonly text: string;
  readonly pair?: string | null;
  readonly kwargs: {
    readonly truncation?: true | TruncationStrategy;
    readonly max_length?: number;
    readonly stride?: number;
    readonly return_overflowing_tokens?: boolean;
    readonly padding?: "max_length";
    readonly add_special_tokens?: boolean;
  };
  readonly windows_input_ids?: unknown;
  readonly windows_offsets_codepoint?: unknown;
  readonly [expected: string]: unknown;
}

interface Decoded {
  readonly input_ids: readonly number[];
  readonly skip_special_tokens: boolean;
  readonly text: string;
}

export function isTokenizerFixture({ cases, decode }: Fixture): boolean {
  return Array.isArray(decode) && (cases?.[0] as { text?: unknown } | undefined)?.text !== undefined;
}

export async function* runTokenizerFixture(folder: string, fixture: Fixture): AsyncGenerator<Finding> {
  const tokenizer = await loadTokenizer(openFolder(folder));
  for (const { text, pair, kwargs, ...expected } of fixture.cases as readonly Case[]) {
    const got = tokenizer.encode(text, pair ?? undefined, optionsOf(kwargs));
    const texts = [text, pair ?? ""];
    const inCodePoints = ({ offsets, sequenceIds }: typeof got) =>
      offsets.map((ends, i) => ends.map((at) => codePointOffset(texts[sequenceIds[i] ?? 0]!, at)));
    const windows = [got, ...got.overflow];
    const actual = expected.windows_input_ids
      ? {
          windows_input_ids: windows.map(({ ids }) => ids),
          windows_offsets_codepoint: windows.map(inCodePoints),
        }
      : {
          tokens: got.tokens,
          input_ids: got.ids,
          token_type_ids: got.typeIds,
          attention_mask: got.attentionMask,
          word_ids: got.wordIds,
          sequence_ids: got.sequenceIds,
          offsets_codepoint: inCodePoints(got),
          offsets_utf16: got.offsets,
        };
    yield exactFinding(`encode ${JSON.stringify(text.slice(0, 30))}`, agreementOf(actual, expected).fault);
  }
  for (const { input_ids, skip_special_tokens, text } of fixture.decode as readonly Decoded[]) {
    const got = tokenizer.decode(input_ids, { skipSpecialTokens: skip_special_tokens });
    yield exactFinding(`decode to ${JSON.stringify(text.slice(0, 30))}`, agreementOf(got, text).fault);
  }
}

function optionsOf(kwargs: Case["kwargs"]): EncodeOptions {
  return {
    truncation: kwargs.truncation === true ? "longest_first" : kwargs.truncation,
    maxLength: kwargs.max_length,
    stride: kwargs.stride,
    returnOverflow: kwargs.return_overflowing_tokens,
    padding: kwargs.padding,
    addSpecialTokens: kwargs.add_special_tokens,
  };
}
