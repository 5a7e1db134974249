import { describe, expect, test } from "vitest";
import { entitiesOf, entityReport, strictScheme, type TagScheme } from "../../../src/bert/metrics/entities.ts";

const read = (tags: string, scheme?: TagScheme): string =>
  entitiesOf(tags.split(" "), scheme)
    .map(({ type, start, end }) => `${type} ${start}-${end}`)
    .join(", ");

describe("entities", () => {
  // what seqeval 1.2.2 gives: get_entities for lenient, Entities(scheme=...) for the strict ones
  test.each<[string, TagScheme, string]>([
    ["B-PER I-PER O B-LOC", "lenient", "PER 0-1, LOC 3-3"],
    ["I-PER I-PER O I-LOC B-LOC", "lenient", "PER 0-1, LOC 3-3, LOC 4-4"],
    ["B-PER I-LOC", "lenient", "PER 0-0, LOC 1-1"],
    ["B-PER E-PER I-PER S-PER E-PER", "lenient", "PER 0-1, PER 2-2, PER 3-3, PER 4-4"],
    ["B-creative-work I-creative-work", "lenient", "creative-work 0-1"],
    ["B I O", "lenient", "_ 0-1"],
    ["O O", "lenient", ""],
    ["I-PER I-PER O B-LOC B-LOC I-LOC", "IOB2", "LOC 3-3, LOC 4-5"],
    ["B-PER I-LOC I-LOC", "IOB2", "PER 0-0"],
    ["S-PER B-LOC I-LOC E-LOC O B-LOC I-LOC O E-LOC", "IOBES", "PER 0-0, LOC 1-3"],
    ["B-LOC E-PER B-LOC L-LOC U-PER", "IOBES", "LOC 2-3, PER 4-4"],
  ])("%s read as %s: %s", (tags, scheme, entities) => {
    expect(read(tags, scheme)).toBe(entities);
  });

  test("an unknown tag is refused, and one of another scheme", () => {
    expect(() => read("O X-PER")).toThrow('"X-PER" is none of O, B-type');
    expect(() => read("S-PER", "IOB2")).toThrow("read it as IOBES");
    expect(strictScheme([["O"], ["B-a", "E-a"]])).toBe("IOBES");
    expect(strictScheme([["O", "B-Ex"]])).toBe("IOB2");
  });

  test("F1 counts whole entities, as in seqeval's README", () => {
    const gold = [
      ["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"],
      ["B-PER", "I-PER", "O"],
    ];
    const predicted = [
      ["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"],
      ["B-PER", "I-PER", "O"],
    ];
    const report = entityReport(gold, predicted);
    expect([...report.classes]).toEqual([
      ["MISC", { precision: 0, recall: 0, f1: 0, support: 1 }],
      ["PER", { precision: 1, recall: 1, f1: 1, support: 1 }],
    ]);
    expect(report).toMatchObject({ accuracy: 0.8, sentences: 2 });
    for (const average of [report.micro, report.macro, report.weighted]) expect(average.f1).toBe(0.5);
  });

  test("lenient and strict differ where tags are loose", () => {
    // seqeval's README: the strict mode finds nothing in the gold tags
    const gold = [["B-NP", "I-NP", "O"]];
    const predicted = [["I-NP", "I-NP", "O"]];
    expect(entityReport(gold, predicted).micro.f1).toBe(1);
    expect(entityReport(gold, predicted, "IOB2").micro.f1).toBe(0);
  });

  test("sentences of different lengths are refused by number", () => {
    expect(() => entityReport([["O"], ["O", "O"]], [["O"], ["O"]])).toThrow(
      "sentence 2 has 2 gold tags and 1 predicted",
    );
    expect(() => entityReport([], [])).toThrow("0 gold sentences");
  });
});
