/** Questions in SQuAD's layout, 1.1 and 2.0: articles of paragraphs of questions. */

import type { DataTable, Row } from "./rows.ts";
import { inputName, readChunks } from "./source.ts";

export interface SquadQuestion {
  readonly id: string;
  readonly question: string;
  readonly context: string;
  /** Texts of the gold answers; none where the question has no answer. */
  readonly answers: readonly string[];
  /** Where each begins in the context, in code points; undefined where the file does not say. */
  readonly starts: readonly (number | undefined)[];
}

/** Bytes; such files are read whole. SQuAD 2.0 has 42 MB. */
const LARGEST = 512 << 20;

/** A question per row, in the columns of these names, answers as the hub's data sets have them. @throws as `readSquad` */
export async function squadTable(path: string, question: string, context: string, answers: string): Promise<DataTable> {
  const questions = await readSquad(path);
  return {
    name: inputName(path),
    columns: [question, context, answers],
    async *rows(): AsyncGenerator<Row> {
      for (const [i, item] of questions.entries()) {
        const values = {
          [question]: item.question,
          [context]: item.context,
          [answers]: { text: item.answers, answer_start: item.starts },
        };
        yield { number: i + 1, share: (i + 1) / questions.length, values };
      }
    },
    async close() {},
  };
}

/** @throws Error naming what is missing where, when it is not of that layout */
export async function readSquad(path: string): Promise<SquadQuestion[]> {
  const name = inputName(path);
  const parts: Buffer[] = [];
  let size = 0;
  for await (const { bytes } of readChunks(path)) {
    size += bytes.length;
    if (size > LARGEST) throw new Error(`${name}: longer than ${LARGEST} bytes; give JSON Lines, a question per line`);
    parts.push(bytes);
  }
  let root: unknown;
  try {
    root = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(parts)));
  } catch (error) {
    throw new Error(`${name}: not valid JSON (${(error as Error).message})`, { cause: error });
  }
  const questions: SquadQuestion[] = [];
  eachOf(field(root, "data", name), `${name}: data`, (article, at) => {
    eachOf(field(article, "paragraphs", at), `${at}.paragraphs`, (paragraph, at) => {
      const context = textOf(field(paragraph, "context", at), `${at}.context`);
      eachOf(field(paragraph, "qas", at), `${at}.qas`, (item, at) => {
        const answers: string[] = [];
        const starts: (number | undefined)[] = [];
        eachOf(field(item, "answers", at), `${at}.answers`, (answer, at) => {
          answers.push(textOf(field(answer, "text", at), `${at}.text`));
          const { answer_start: start } = answer as { answer_start?: unknown };
          starts.push(Number.isInteger(start) ? (start as number) : undefined);
        });
        questions.push({
          id: String(field(item, "id", at)),
          question: textOf(field(item, "question", at), `${at}.question`),
          context,
          // 2.0 may list plausible answers to a question that has none
          ...((item as { is_impossible?: unknown }).is_impossible === true
            ? { answers: [], starts: [] }
            : { answers, starts }),
        });
      });
    });
  });
  return questions;
}

function field(value: unknown, name: string, at: string): unknown {
  const found = value !== null && typeof value === "object" ? (value as Record<string, unknown>)[name] : undefined;
  if (found !== undefined) return found;
  throw new Error(`${at}: "${name}" is missing; it must be in SQuAD's layout`);
}

function eachOf(value: unknown, at: string, visit: (item: unknown, at: string) => void): void {
  if (!Array.isArray(value)) throw new Error(`${at}: it must be a list`);
  value.forEach((item: unknown, i) => {
    visit(item, `${at}[${i}]`);
  });
}

function textOf(value: unknown, at: string): string {
  if (typeof value === "string") return value;
  throw new Error(`${at}: it must be text`);
}
