import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Row } from "../../../src/node/data/rows.ts";
import { openTable, type TableOptions } from "../../../src/node/data/table.ts";
import { scratch } from "./scratch.ts";

const file = scratch();
let count = 0;

async function rowsOf(text: string | Uint8Array, options?: TableOptions, name = `${count++}.csv`): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of (await openTable(await file(name, text), options)).rows()) rows.push(row);
  return rows;
}

/** Values of good rows, faults of the others. */
async function read(text: string | Uint8Array, options?: TableOptions, name?: string): Promise<unknown[]> {
  return (await rowsOf(text, options, name)).map(({ values, fault }) => values ?? fault);
}

const columns = ["text"];

describe("line ends", () => {
  test.each([
    ["CR", "\r"],
    ["LF", "\n"],
    ["CRLF", "\r\n"],
  ])("%s, in every format of text", async (_, end) => {
    const lines = ["text,n", "a movie,1", "", '"of two', 'lines",2'].join(end) + end;
    expect(await rowsOf(lines)).toMatchObject([
      { number: 1, line: 2, values: { text: "a movie", n: "1" } },
      { number: 2, line: 5, values: { text: `of two${end}lines`, n: "2" } },
    ]);
    expect(await read(`text\tn${end}a "b\t1${end}`, {}, "a.tsv")).toEqual([{ text: 'a "b', n: "1" }]);
    expect(await read(`{"a":1}${end}${end}{"a":2}`, {}, "a.jsonl")).toEqual([{ a: 1 }, { a: 2 }]);
    expect(await read(`one${end}${end}three${end}`, {}, "a.txt")).toEqual(
      ["one", "", "three"].map((text) => ({ text })),
    );
  });

  test("may be mixed, and are part of quoted cells as they are", async () => {
    expect(await read('text,n\r\na,1\nb,2\r"c\rd\ne\r\nf",3\r\n')).toEqual([
      { text: "a", n: "1" },
      { text: "b", n: "2" },
      { text: "c\rd\ne\r\nf", n: "3" },
    ]);
  });

  test("may fall apart between two chunks of the file, at any place", async () => {
    const size = 64 * 1024; // of a chunk, as Node reads files
    for (const end of ["\r", "\r\n"]) {
      for (let before = size - 3; before <= size + 1; before++) {
        const first = "a".repeat(before - 5 - end.length);
        expect(await read(`text${end}${first}${end}${end}b${end}`)).toEqual([{ text: first }, { text: "b" }]);
      }
    }
  });

  test("a line that is not UTF-8 is one bad row among others", async () => {
    expect(await read(Buffer.from("text,n\r\xe9,1\rok,2\r", "latin1"))).toEqual([
      "it is not UTF-8",
      { text: "ok", n: "2" },
    ]);
  });
});

describe("the delimiter", () => {
  test.each([",", ";", "\t", "|"])("is found: %j", async (delimiter) => {
    const text = [`id${delimiter}text`, `1${delimiter}"a${delimiter} ""b"""`, `2${delimiter}c`].join("\n");
    const rows = [
      { id: "1", text: `a${delimiter} "b"` },
      { id: "2", text: "c" },
    ];
    for (const options of [{ columns: ["text", "id"] }, {}, { delimiter }])
      expect(await read(text, options)).toEqual(rows);
    const numbered = rows.map(({ id, text }) => ({ 1: id, 2: text }));
    expect((await read(text, { header: false })).slice(1)).toEqual(numbered);
  });

  test("is told by the header, whatever the texts hold", async () => {
    const texts = ["a; b | c", "d; e | f"];
    expect(await read(`id,text\n${texts.map((text) => `1,${text}`).join("\n")}`, { columns })).toEqual(
      texts.map((text) => ({ text })),
    );
    expect(await read(`text;id\n${"so good, really;1\n".repeat(3)}`, { columns })).toEqual(
      Array.from({ length: 3 }, () => ({ text: "so good, really" })),
    );
    // a single column has none, and what looks like one is said to be one
    expect(await read("text\na; b\nc | d\te\n", { columns })).toEqual([{ text: "a; b" }, { text: "c | d\te" }]);
    expect(await read("text\na, b\n", { columns })).toEqual([
      'it has 2 cells, 1 column expected; a cell that holds "," must be in quotes',
    ]);
  });

  test("without a header is told by rows that are alike, as many as it takes", async () => {
    const options = { header: false, columns: ["1"] };
    expect(await read("good, bad;1\ngood, bad;0\ndull;1\n", options)).toEqual([
      { 1: "good, bad" },
      { 1: "good, bad" },
      { 1: "dull" },
    ]);
    const late = `${"good, bad;1\n".repeat(30)}dull;1\n`;
    expect((await read(late, options)).at(-1)).toEqual({ 1: "dull" });
    await expect(read("good, bad;1\n", options)).rejects.toThrow(
      /\d+\.csv: "," or ";" may part its cells; say which with --delimiter$/,
    );
    expect(await read("good, bad;1\n", { ...options, delimiter: ";" })).toEqual([{ 1: "good, bad" }]);
    expect(await read("a movie\nwell; dull\n", options)).toEqual([{ 1: "a movie" }, { 1: "well; dull" }]);
  });

  test("may stand in a line sep= before the header", async () => {
    const rows = [{ text: "a, b", n: "1" }];
    for (const line of ["sep=;", '"sep=;"', "SEP=;"]) {
      expect(await rowsOf(`\ufeff${line}\r\ntext;n\r\na, b;1\r\n`)).toMatchObject([
        { number: 1, line: 3, values: rows[0] },
      ]);
    }
    expect(await read("sep=\t\ntext\tn\na, b\t1\n")).toEqual(rows);
    expect(await read("sep=^\ntext^n\na, b^1\n", { columns })).toEqual([{ text: "a, b" }]);
    // what is asked for counts
    expect(await read("sep=;\ntext|n\na, b|1\n", { delimiter: "|" })).toEqual(rows);
  });

  test("is of CSV and TSV alone", async () => {
    await expect(read("text\n", { delimiter: ";" }, "lines.txt")).rejects.toThrow(
      /lines.txt: --delimiter is for CSV and TSV, it is read as lines; --format csv reads it so/,
    );
    expect(await read('text;n\na "b;1\n', { format: "tsv", delimiter: ";" })).toEqual([{ text: 'a "b', n: "1" }]);
  });
});

describe("columns", () => {
  const twice = "id,text,n,n,text\n1,a,2,3,b\n";

  test("there twice are refused by name and number, unless nobody asks for them", async () => {
    expect(await read(twice, { columns: ["id"] })).toEqual([{ id: "1" }]);
    await expect(read(twice, { columns })).rejects.toThrow(
      /\d+\.csv has two columns "text" \(2 and 5\): rename one, or give a number in place of the name/,
    );
    await expect(read(twice)).rejects.toThrow(
      'two columns "text" (2 and 5): rename one, or give a number in place of the name; two columns "n" (3 and 4)',
    );
    await expect(read(twice, { columns: ["body", "n", "x"] })).rejects.toThrow(
      'has no column "body", "x"; it has "id", "text", "n", "n", "text"; choose one of these; two columns "n" (3 and 4)',
    );
    expect(await read(twice, { columns: ["5"] })).toEqual([{ 5: "b" }]);
    const json = '{"text":"a","b":{"text":1},"text":"c"}\n{"text":"\\"text\\":","c":"text"}\n';
    expect(await read(json, { columns }, "twice.jsonl")).toEqual([
      'it has "text" twice; rename one',
      { text: '"text":', c: "text" },
    ]);
  });

  test("without a name are called by their number; a name goes before a number", async () => {
    expect(await read("text,label,\na,1,x\n")).toEqual([{ text: "a", label: "1", 3: "x" }]);
    expect(await read("a,1\nb,c\n", { columns: ["1", "2"] })).toEqual([{ 1: "c", 2: "c" }]);
    expect(await read("2,text\nb,c\n", { columns: ["2"] })).toEqual([{ 2: "b" }]);
    await expect(read("3,text,\na,b,c\n")).rejects.toThrow('two columns "3" (1 and 3)');
  });

  test("of a header alone there are no rows, of an empty file there is no header", async () => {
    for (const text of ["text,n", "text,n\r", "sep=;\ntext;n\n\n"]) expect(await read(text, { columns })).toEqual([]);
    for (const text of ["", "\n\r\n", "sep=;\n"]) await expect(read(text)).rejects.toThrow("a header was expected");
    await expect(read("text label\na 1\n", { columns })).rejects.toThrow(
      'no column "text"; it has "text label"; choose one of these, or say with --delimiter what parts its cells',
    );
  });
});

test("a stray quote spoils its own row alone", async () => {
  const lines = Array.from({ length: 10_000 }, (_, i) => (i === 99 ? '"c"d,1' : `movie ${i},1`));
  const rows = await rowsOf(`text,label\n${lines.join("\n")}\n`);
  expect(rows).toHaveLength(10_000);
  expect(rows.filter(({ fault }) => fault)).toMatchObject([
    {
      number: 100,
      line: 101,
      fault: 'column 1: "," is missing after the closing quote at character 3; a quote within quotes is written twice',
    },
  ]);
});

test("a quote that is never closed costs the memory of one record at most", async () => {
  const path = await file("open.csv", `text,n\nfine,1\n"${`${"and on ".repeat(50)}\n`.repeat(60_000)}`);
  const before = process.memoryUsage().rss;
  const rows = (await openTable(path)).rows()[Symbol.asyncIterator]();
  expect((await rows.next()).value).toMatchObject({ values: { text: "fine" } });
  await expect(rows.next()).rejects.toThrow(
    'open.csv: line 3: a quote is opened that is never closed; where the record ends cannot be told: close it, or read quotes as text with --format tsv --delimiter ","',
  );
  expect(process.memoryUsage().rss - before).toBeLessThan(400 << 20);
});

test("a file of empty lines is read in little memory", async () => {
  const path = await file("blank.csv", Buffer.alloc(4 << 20, "\n"));
  const before = process.memoryUsage().rss;
  await expect(openTable(path)).rejects.toThrow("a header was expected");
  expect(process.memoryUsage().rss - before).toBeLessThan(150 << 20);
});

test("whatever is well formed is read as csv-parse reads it", async () => {
  const cell = fc.string({ unit: fc.constantFrom(..."ab ,;|\t\"\r\n'\u00e9\u{1f600}") });
  const records = fc.integer({ min: 1, max: 4 }).chain((width) =>
    fc.array(fc.array(fc.tuple(cell, fc.boolean()), { minLength: width, maxLength: width }), {
      minLength: 1,
      maxLength: 6,
    }),
  );
  const ends = fc.array(fc.constantFrom("\n", "\r", "\r\n"), { minLength: 6, maxLength: 6 });
  const property = fc.asyncProperty(
    records,
    ends,
    fc.constantFrom(",", ";", "\t", "|"),
    fc.boolean(),
    async (rows, ends, delimiter, closed) => {
      const lines = rows.map((cells) =>
        cells
          .map(([text, quotes]) =>
            quotes || text === "" || /^"|[\r\n]/.test(text) || text.includes(delimiter)
              ? `"${text.replaceAll('"', '""')}"`
              : text,
          )
          .join(delimiter),
      );
      const text = lines.map((line, i) => line + (closed || i < lines.length - 1 ? ends[i] : "")).join("");
      const right = parse(text, {
        delimiter,
        record_delimiter: ["\r\n", "\n", "\r"],
        relax_quotes: true,
        skip_empty_lines: true,
      });
      expect(right).toEqual(rows.map((cells) => cells.map(([text]) => text)));
      const found = await rowsOf(text, { header: false, delimiter }, "property.csv");
      expect(found.map(({ values }) => Object.values(values!))).toEqual(right);
    },
  );
  await fc.assert(property, { numRuns: 500 });
});
