/** Fixtures of vocabularies: what tokenizers' trainer takes in whatever order its hash map has, and what in some. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { trainWordPiece } from "../../src/train/index.ts";
import { exactFinding, type Finding, type Fixture, numberFinding } from "./fixture.ts";

interface Case {
  readonly lowercase: boolean;
  readonly vocab_size: number;
  readonly min_frequency: number;
  readonly always: readonly string[];
}

/** Of `always`: the trainer's own runs differ where pairs are equally frequent. */
const MOST_MISSING = 0.005;

export function isTrainerFixture({ cases }: Fixture): boolean {
  const first = cases?.[0] as Partial<Case> | undefined;
  return first?.always !== undefined && first.vocab_size !== undefined;
}

export async function* runTrainerFixture(folder: string, { cases }: Fixture): AsyncGenerator<Finding> {
  const lines = (await readFile(join(folder, "corpus.txt"), "utf8")).split("\n");
  for (const { lowercase, vocab_size, min_frequency, always } of cases as readonly Case[]) {
    const options = { lowercase, vocabSize: vocab_size, minFrequency: min_frequency };
    const { vocabulary } = await trainWordPiece(lines, options);
    const name = `${vocab_size} tokens, ${lowercase ? "lower case" : "cased"}, pairs from ${min_frequency} times`;
    const size = new Set(vocabulary).size;
    yield exactFinding(`${name}: how many`, size === vocab_size ? undefined : `there are ${size}`);
    const missing = always.filter((token) => !vocabulary.includes(token));
    yield numberFinding(`${name}: share that is missing`, missing.length / always.length, MOST_MISSING);
    const { vocabulary: again } = await trainWordPiece([...lines].reverse(), options);
    const other = again.find((token, id) => token !== vocabulary[id]);
    yield exactFinding(
      `${name}: of the lines backwards`,
      other === undefined ? undefined : `it has ${other} elsewhere`,
    );
  }
}
