/**
 * How the tokens of a batch fall together by word, position and type, for the gradients of the tables: rows of one segment
 * are summed in pieces of at most `PIECE`, the pieces of a segment then by a second launch, all in the same order at every
 * run.
 */

import type { BertConfig } from "../bert/config.ts";
import { NO_ROW } from "../kernels/tokens/backward.ts";

/** Rows that a thread adds up. */
const PIECE = 32;

/** Inputs of a program, all u32; how long each is depends on the number of tokens alone. */
export interface SegmentInputs {
  /** [3 * tokens]: tokens by word, by position, by type. */
  readonly order: Uint32Array;
  /** [pieces + 1]: where each piece begins in `order`. */
  readonly starts: Uint32Array;
  /** [pieces]: 0, 1, 2, ...; `NO_ROW` beyond the last. */
  readonly pieces: Uint32Array;
  /** By table: [rows + 1], where each row's pieces begin; and [rows], which row of the table it is. */
  readonly wordStarts: Uint32Array;
  readonly wordTargets: Uint32Array;
  readonly positionStarts: Uint32Array;
  readonly positionTargets: Uint32Array;
  readonly typeStarts: Uint32Array;
  readonly typeTargets: Uint32Array;
}

const TABLES = ["word", "position", "type"] as const;

/**
 * @param tokens [tokens, 4]: word id, token type, position, key mask
 */
export function segmentsOf(
  tokens: Uint32Array,
  { padTokenId, maxPositionEmbeddings, typeVocabSize }: BertConfig,
): SegmentInputs {
  const count = tokens.length / 4;
  const most = { word: count, position: Math.min(count, maxPositionEmbeddings), type: Math.min(count, typeVocabSize) };
  const capacity = Object.values(most).reduce((sum, rows) => sum + rows + Math.ceil(count / PIECE), 0);
  const order = new Uint32Array(3 * count);
  const starts = new Uint32Array(capacity + 1);
  const pieces = new Uint32Array(capacity).fill(NO_ROW);
  const tables: Partial<Record<string, Uint32Array>> = {};
  let [at, piece] = [0, 0];
  for (const [table, field] of [
    ["word", 0],
    ["position", 2],
    ["type", 1],
  ] as const) {
    const rows = new Map<number, number[]>();
    for (let token = 0; token < count; token++) {
      const row = tokens[4 * token + field]!;
      if (table === "word" && row === padTokenId) continue; // as torch.nn.Embedding with its padding_idx
      const others = rows.get(row);
      if (others) others.push(token);
      else rows.set(row, [token]);
    }
    const tableStarts = new Uint32Array(most[table] + 1);
    const targets = new Uint32Array(most[table]).fill(NO_ROW);
    let i = 0;
    for (const [row, members] of rows) {
      tableStarts[i] = piece;
      targets[i++] = row;
      for (let from = 0; from < members.length; from += PIECE) {
        const own = members.slice(from, from + PIECE);
        starts[piece] = at;
        pieces[piece] = piece;
        piece++;
        order.set(own, at);
        at += own.length;
      }
    }
    tableStarts.fill(piece, i);
    tables[`${table}Starts`] = tableStarts;
    tables[`${table}Targets`] = targets;
  }
  starts.fill(at, piece);
  return { order, starts, pieces, ...tables } as unknown as SegmentInputs;
}

/** Names of the tables' inputs, in the order of the tables. */
export const TABLE_INPUTS: readonly (readonly [starts: keyof SegmentInputs, targets: keyof SegmentInputs])[] =
  TABLES.map((table) => [`${table}Starts`, `${table}Targets`]);
