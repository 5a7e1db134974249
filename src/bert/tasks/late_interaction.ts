/**
 * Late interaction (ColBERT): every token of a query looks for its like among those of a document. Markers, lengths,
 * [MASK] after a short query and punctuation left out of documents are as the checkpoint says, none where it is silent.
 * Mirrors QueryTokenizer and DocTokenizer of colbert-ir, and ColBERT.tokenize of PyLate.
 */

import type { Sequence } from "../batch.ts";
import { ModelError } from "../config.ts";
import type { SequenceOutput } from "../outputs.ts";
import { countOf, type Fields, flagOf, has, listOf, textOf } from "../tokenizer/fields.ts";
import { encodeCut, maxLength, type Pretrained, requireHead, type TaskOptions } from "./pretrained.ts";
import { readSetting } from "./settings.ts";
import { maxSim } from "./vectors.ts";

interface Side {
  /** A token that stands behind [CLS]. */
  readonly marker: string;
  /** Tokens, the marker and special ones included. */
  readonly most: number;
}

interface LateInteractionSettings {
  readonly query: Side;
  readonly document: Side;
  /** Short queries are filled up with [MASK]. */
  readonly expands: boolean;
  /** The others attend to these. */
  readonly attendsToExpansion: boolean;
  /** Tokens of documents whose vectors are left out. */
  readonly skipped: readonly string[];
}

/** A document's sequence, and which of its tokens are compared. */
interface EncodedDocument {
  readonly sequence: Sequence;
  readonly kept: readonly number[];
}

export interface LateInteraction {
  encodeQuery(text: string): Sequence;
  encodeDocument(text: string): EncodedDocument;
  /** The sum over the query's tokens of the greatest dot product with one of the document's. */
  score(query: SequenceOutput, document: SequenceOutput, kept: readonly number[]): number;
}

/** @throws ModelError without the head, or when a file of the folder is malformed or names no token */
export function lateInteractionOf(pretrained: Pretrained, { onWarning }: TaskOptions): LateInteraction {
  requireHead(pretrained, "tokenEmbeddings", "late interaction", "a projection of token vectors");
  const settings =
    readSetting(pretrained, "config_sentence_transformers.json", pylateSettings) ??
    readSetting(pretrained, "artifact.metadata", colbertSettings);
  const idOf = (token: string): number => {
    const id = pretrained.tokenizer.tokenToId(token);
    if (id !== undefined) return id;
    throw new ModelError(pretrained.model.name, [`${JSON.stringify(token)} of late interaction is no token`]);
  };
  const longest = maxLength(pretrained);
  const encoder = (side: Side | undefined): ((text: string) => number[]) => {
    const most = side ? Math.min(side.most, longest) - 1 : longest;
    const marker = side ? [idOf(side.marker)] : [];
    return (text) => {
      const [cls, ...rest] = encodeCut(pretrained, text, undefined, { most, onWarning }).ids;
      return [cls!, ...marker, ...rest];
    };
  };
  const [queryIds, documentIds] = [encoder(settings?.query), encoder(settings?.document)];
  const mask = settings?.expands ? idOf("[MASK]") : 0;
  const filled = settings?.expands ? Math.min(settings.query.most, longest) : 0;
  const skipped = new Set(settings?.skipped.map((token) => pretrained.tokenizer.tokenToId(token)));
  return {
    encodeQuery(text) {
      const ids = queryIds(text);
      const seen = ids.map(() => 1);
      for (; ids.length < filled; ids.push(mask)) seen.push(settings?.attendsToExpansion ? 1 : 0);
      return { inputIds: ids, attentionMask: seen };
    },
    encodeDocument(text) {
      const inputIds = documentIds(text);
      return { sequence: { inputIds }, kept: [...inputIds.keys()].filter((i) => !skipped.has(inputIds[i]!)) };
    },
    score: ({ tokenEmbeddings: query, length }, { tokenEmbeddings: document }, kept) =>
      maxSim(query!, document!, query!.length / length, kept),
  };
}

/** config_sentence_transformers.json; undefined where sentence-transformers wrote it. */
function pylateSettings(fields: Fields): LateInteractionSettings | undefined {
  if (!has(fields, "query_length")) return undefined;
  const side = (name: string, marker: string, most: number): Side => ({
    marker: textOf(fields, `${name}_prefix`, marker),
    most: lengthOf(fields, `${name}_length`, most),
  });
  return {
    query: side("query", "[Q] ", 32),
    document: side("document", "[D] ", 180),
    expands: flagOf(fields, "do_query_expansion", true),
    attendsToExpansion: flagOf(fields, "attend_to_expansion_tokens", false),
    skipped: has(fields, "skiplist_words") ? listOf(fields, "skiplist_words").map(String) : [...PUNCTUATION],
  };
}

/** artifact.metadata; the ids of its markers are given as names of tokens. */
function colbertSettings(fields: Fields): LateInteractionSettings {
  const side = (name: string, marker: string, most: number): Side => ({
    marker: textOf(fields, `${name}_token_id`, textOf(fields, `${name}_token`, marker)),
    most: lengthOf(fields, `${name}_maxlen`, most),
  });
  return {
    query: side("query", "[unused0]", 32),
    document: side("doc", "[unused1]", 220),
    expands: true,
    attendsToExpansion: flagOf(fields, "attend_to_mask_tokens", false),
    skipped: flagOf(fields, "mask_punctuation", true) ? [...PUNCTUATION] : [],
  };
}

/** Python's string.punctuation. */
const PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

function lengthOf(fields: Fields, name: string, fallback: number): number {
  return countOf(fields, name, 3, 1 << 20, fallback);
}
