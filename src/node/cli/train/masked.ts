/** `train mlm` and `train pretrain`: word pieces that are hidden, and whether a text follows another. */

import { crossEntropy } from "../../../bert/losses.ts";
import type { Tokenizer } from "../../../bert/tokenizer/tokenizer.ts";
import { type Document, pairEpochs, type Sentence } from "../../../train/data/documents.ts";
import { drawsFor } from "../../../train/data/draw.ts";
import { epochsOf, split, streamedEpochs } from "../../../train/data/epochs.ts";
import { type MaskingOptions, maskedExample, NONE, type Pieces, piecesOf } from "../../../train/data/masking.ts";
import type { Evaluation, Example } from "../../../train/index.ts";
import type { RowValues } from "../../data/rows.ts";
import { openTable } from "../../data/table.ts";
import { InputError } from "../failure.ts";
import { textIn } from "../file_rows.ts";
import { EVALUATED_TOKENS, evaluateAll } from "./evaluate.ts";
import { type Context, count, learntAndHeld, type Prepared, requireSpecial } from "./prepared.ts";
import { collectFaults, eachRow, readRows, tableOf } from "./rows.ts";

/** What masks of an evaluation are drawn for: they are the same at each. */
const EVALUATED = 0x65766c;
/** Logits that are read back at a time. */
const MOST_LOGITS = 16 << 20;

export async function prepareMlm(context: Context): Promise<Prepared> {
  const { options, tokenizer, maxLength } = context;
  const { textColumn = "text", pairColumn, seed, shuffleBuffer } = options;
  requireLength(maxLength, pairColumn === undefined ? 3 : 5, pairColumn === undefined ? "a text needs" : "pairs need");
  const masking = maskingOf(context);
  const open = tableOf(options, [textColumn, ...(pairColumn === undefined ? [] : [pairColumn])]);
  const textsOf = (values: RowValues): readonly [string, string | undefined] | undefined => {
    const text = textIn(values, textColumn);
    const pair = pairColumn === undefined ? undefined : textIn(values, pairColumn);
    return text.trim() === "" ? undefined : [text, pair];
  };
  /** All of a long text: in as many sequences as it needs. */
  const piecesIn = ([text, pair]: readonly [string, string | undefined]): Pieces[] => {
    const first = tokenizer.encode(text, pair, { truncation: true, maxLength, returnOverflow: true });
    return [first, ...first.overflow].map(piecesOf).filter(({ words }) => Array.from(words).some((word) => word >= 0));
  };
  const rowOf = (values: RowValues): readonly Pieces[] | undefined => {
    const texts = textsOf(values);
    return texts && piecesIn(texts);
  };
  if (shuffleBuffer !== undefined) return streamed(shuffleBuffer);
  const { learnt, held } = await learntAndHeld(options, (paths) => readRows(paths, open, rowOf));
  const pieces = learnt.flatMap(({ row }) => row);
  if (pieces.length === 0) throw new InputError("the texts have no word piece to learn");
  return prepared(
    epochsOf(pieces, seed, (row, draw) => maskedExample(row, masking, draw)),
    held.flatMap(({ row }) => row),
    { texts: `${learnt.length.toLocaleString("en")}, ${tokensIn(pieces)}` },
  );

  /** Files that are larger than memory are read anew in each epoch; what is wrong with a row is told before. */
  async function streamed(held: number): Promise<Prepared> {
    if (options.evalSplit !== undefined) {
      throw new InputError("--eval-split needs all rows in memory: give --eval-input with --shuffle-buffer");
    }
    const faults = collectFaults();
    let texts = 0;
    for await (const _ of eachRow(options.input, open, textsOf, faults)) texts++;
    faults.end();
    if (texts === 0) throw new InputError(`${options.input.join(", ")}: there is nothing to learn from`);
    const rows = async function* (): AsyncGenerator<Pieces> {
      for await (const { row } of eachRow(options.input, open, rowOf, collectFaults())) yield* row;
    };
    const judged = options.evalInput ? await readRows(options.evalInput, open, rowOf) : [];
    return prepared(
      streamedEpochs(rows, held, seed, (row, draw) => maskedExample(row, masking, draw)),
      judged.flatMap(({ row }) => row),
      { texts: `${texts.toLocaleString("en")}, read anew in each epoch` },
    );
  }

  function prepared(data: Prepared["data"], judged: readonly Pieces[], facts: Prepared["facts"]): Prepared {
    const examples = judged.map((row, i) => maskedExample(row, masking, drawsFor(seed, EVALUATED, i)));
    return {
      objectives: ["mlm"],
      data,
      evaluation: examples.length > 0 ? evaluationOf(examples, masking.vocabSize) : undefined,
      metrics: ["loss", "perplexity", "accuracy"],
      facts: { ...facts, ...(judged.length > 0 && { "evaluated on": tokensIn(judged) }) },
    };
  }
}

export async function preparePretrain(context: Context): Promise<Prepared> {
  const { options, tokenizer, maxLength } = context;
  const { input, evalInput, evalSplit, seed } = options;
  const pairs = { ...maskingOf(context), ...requireSpecial(tokenizer, ["cls", "sep"]), maxLength };
  requireLength(maxLength, 5, "pairs need");
  const all = await readDocuments(input, tokenizer);
  const [learnt, held] =
    evalSplit === undefined
      ? [all, evalInput ? await readDocuments(evalInput, tokenizer) : []]
      : split(all, evalSplit, seed);
  const data = pairEpochs(learnt, seed, pairs);
  const examples: Example[] = [];
  if (held.length > 0)
    for await (const example of pairEpochs(held, seed ^ EVALUATED, pairs).epoch(0)) examples.push(example);
  return {
    objectives: ["mlm", "next"],
    data,
    evaluation: examples.length > 0 ? evaluationOf(examples, pairs.vocabSize, true) : undefined,
    metrics: ["loss", "mlm_loss", "perplexity", "accuracy", "next_loss", "next_accuracy"],
    facts: {
      documents: `${learnt.length.toLocaleString("en")}, ${tokensIn(learnt.flat())}`,
      ...(held.length > 0 && {
        "evaluated on": `${count(held.length, "document")}, ${count(examples.length, "pair")}`,
      }),
    },
  };
}

/** Of special tokens and a word piece of each text. */
function requireLength(maxLength: number, least: number, what: string): void {
  if (maxLength < least) throw new InputError(`--max-length is ${maxLength}, ${what} at least ${least} tokens`);
}

function maskingOf({ tokenizer, options }: Context): MaskingOptions {
  const { mask } = requireSpecial(tokenizer, ["mask"]);
  const special = new Set(Object.values({ ...tokenizer.special }).filter((id) => id !== undefined));
  const { maskShare, wholeWord } = options;
  return { mask, vocabSize: tokenizer.vocabSize, special, share: maskShare, wholeWord };
}

const tokensIn = (pieces: readonly Pieces[]): string =>
  count(
    pieces.reduce((sum, { ids }) => sum + ids.length, 0),
    "token",
  );

/** A sentence a line, a blank line between two documents; a file begins a new one. */
async function readDocuments(paths: readonly string[], tokenizer: Tokenizer): Promise<Document[]> {
  const faults = collectFaults();
  const documents: Document[] = [];
  for (const path of paths) {
    let document: Sentence[] = [];
    const end = (): void => {
      if (document.length > 0) documents.push(document);
      document = [];
    };
    const table = await openTable(path, { format: "lines" });
    for await (const { number, values, fault } of table.rows()) {
      if (fault !== undefined) faults.add(`${table.name}: line ${number}`, fault);
      const text = (values?.text ?? "") as string;
      if (text.trim() === "") end();
      else {
        const pieces = piecesOf(tokenizer.encode(text, undefined, { addSpecialTokens: false }));
        if (pieces.ids.length > 0) document.push(pieces);
      }
    }
    end();
  }
  faults.end();
  return documents;
}

function evaluationOf(examples: readonly Example[], vocabSize: number, pairs = false): Evaluation {
  const sequences = examples.map(({ sequence }) => sequence);
  const rows = examples.map(({ labels }) =>
    Array.from(labels.words!).flatMap((label, i) => (label === NONE ? [] : [i])),
  );
  const all = rows.reduce((sum, own) => sum + own.length, 0);
  const most = Math.max(...rows.map((own, i) => own.length / sequences[i]!.inputIds.length), 1e-9);
  const tokens = Math.max(64, Math.min(EVALUATED_TOKENS, Math.floor(MOST_LOGITS / vocabSize / most)));
  const wanted = { predictionLogits: true, ...(pairs && { seqRelationshipLogits: true }) };
  return async (forward) => {
    let [loss, right, nextLoss, nextRight] = [0, 0, 0, 0];
    await evaluateAll(
      forward,
      sequences,
      wanted,
      ({ predictionLogits, seqRelationshipLogits }, { index, sequence, row }) => {
        const { words, next } = examples[index]!.labels;
        for (const [i, at] of rows[index]!.entries()) {
          const logits = predictionLogits!.data.subarray(
            (row + i) * vocabWidth(predictionLogits!),
            (row + i + 1) * vocabWidth(predictionLogits!),
          );
          loss += crossEntropy(logits, logits.length, [words![at]!]);
          if (largest(logits) === words![at]) right++;
        }
        if (!pairs) return;
        const logits = seqRelationshipLogits!.data.subarray(sequence * 2, sequence * 2 + 2);
        nextLoss += crossEntropy(logits, 2, [next!]);
        if (largest(logits) === next) nextRight++;
      },
      { tokens, rowsOf: (index) => rows[index]! },
    );
    const mlm = loss / all;
    const figures = { perplexity: Math.exp(mlm), accuracy: right / all };
    if (!pairs) return { loss: mlm, ...figures };
    const next = { next_loss: nextLoss / examples.length, next_accuracy: nextRight / examples.length };
    return { loss: mlm + next.next_loss, mlm_loss: mlm, ...figures, ...next };
  };
}

/** The model's vocabulary may be larger than the tokenizer's. */
const vocabWidth = ({ shape }: { readonly shape: readonly number[] }): number => shape[1]!;

function largest(values: Float32Array): number {
  return values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
}
