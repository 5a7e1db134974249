/** The post-processors of a tokenizer.json: where special tokens go. Mirrors tokenizers/src/processors. */

import {
  at,
  childOf,
  childrenOf,
  choiceOf,
  countOf,
  type Fields,
  has,
  listOf,
  textOf,
  typeOf,
  wrong,
} from "./fields.ts";
import { bertTemplates, type Template, type TemplatePiece, type Templates } from "./tokenizer.ts";
import type { Vocabulary } from "./vocabulary.ts";

export const MOST_ID = 0x7fffffff;

/** Special tokens that a template adds. */
const MOST_SPECIAL = 100;

/** The templates of the post-processor in `root`. */
export function templatesOf(root: Fields, vocabulary: Vocabulary): Templates {
  const found = has(root, "post_processor") ? processorsOf(childOf(root, "post_processor")) : [];
  const [fields] = found;
  if (fields === undefined) {
    return { single: [{ sequence: 0, typeId: 0 }], pair: [0, 1].map((i) => ({ sequence: i as 0 | 1, typeId: i })) };
  }
  if (found.length > 1) throw wrong(`${at(root, "post_processor")}: how many add tokens`, found.length, "1");
  if (fields.values.type === "TemplateProcessing") {
    return { single: templateOf(fields, "single", vocabulary), pair: templateOf(fields, "pair", vocabulary) };
  }
  const [cls, sep] = ["cls", "sep"].map((name) => {
    const [token, id] = listOf(fields, name);
    if (typeof token !== "string" || vocabulary.tokens[id as number] === undefined) {
      throw wrong(at(fields, name), fields.values[name], "a token and its id in the vocabulary");
    }
    return { id: id as number, token };
  });
  return bertTemplates(cls!, sep!);
}

/** Those that do something: a sequence is that of its members. */
function processorsOf(fields: Fields): Fields[] {
  const type = typeOf(fields, ["TemplateProcessing", "BertProcessing", "Sequence"]);
  return type === "Sequence" ? childrenOf(fields, "processors").flatMap(processorsOf) : [fields];
}

/** One template of TemplateProcessing: pieces `{ SpecialToken: { id, type_id } }` and `{ Sequence: { id, type_id } }`. */
function templateOf(fields: Fields, name: "single" | "pair", vocabulary: Vocabulary): Template {
  let special = 0;
  const pieces = childrenOf(fields, name).map((piece): TemplatePiece => {
    if (has(piece, "Sequence")) {
      const text = childOf(piece, "Sequence");
      const sequence = choiceOf(text, "id", ["A", "B"]) === "A" ? 0 : 1;
      return { sequence, typeId: countOf(text, "type_id", 0, MOST_ID) };
    }
    const token = childOf(piece, "SpecialToken");
    const known = childOf(childOf(fields, "special_tokens"), textOf(token, "id"));
    const spelled = listOf(known, "tokens");
    const numbers = listOf(known, "ids");
    special += numbers.length;
    if (special > MOST_SPECIAL) throw wrong(at(known, "ids"), numbers, `at most ${MOST_SPECIAL}`);
    if (spelled.length !== numbers.length || !spelled.every((t) => typeof t === "string")) {
      throw wrong(at(known, "tokens"), spelled, `${numbers.length} strings, one for each of its ids`);
    }
    if (numbers.some((id) => vocabulary.tokens[id as number] === undefined)) {
      throw wrong(at(known, "ids"), numbers, "ids of the vocabulary");
    }
    return { ids: numbers as number[], tokens: spelled as string[], typeId: countOf(token, "type_id", 0, MOST_ID) };
  });
  const texts = pieces.flatMap((piece) => ("sequence" in piece ? [piece.sequence] : [])).sort();
  const [wanted, expected] = name === "single" ? ["0", "one A and no B"] : ["0,1", "one A and one B"];
  if (texts.join() !== wanted) throw wrong(at(fields, name), fields.values[name], expected);
  return pieces;
}
