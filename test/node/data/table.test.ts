import { existsSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { Row } from "../../../src/node/data/rows.ts";
import { formatOf, openTable, type TableOptions } from "../../../src/node/data/table.ts";
import { scratch } from "./scratch.ts";

const file = scratch();
const SHARED = join(import.meta.dirname, "../../../../shared/data");

async function rowsOf(path: string, options?: TableOptions): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of (await openTable(path, options)).rows()) rows.push(row);
  return rows;
}

/** RowValues of good rows, faults of the others. */
async function read(path: string, options?: TableOptions): Promise<unknown[]> {
  return (await rowsOf(path, options)).map(({ values, fault }) => values ?? fault);
}

test("the name tells the format, with or without .gz", () => {
  const names = ["a.jsonl", "a.ndjson.gz", "a.CSV", "a.tsv.gz", "a.parquet", "a.txt", "a", "-"];
  expect(names.map(formatOf)).toEqual(["jsonl", "jsonl", "csv", "tsv", "parquet", "lines", "lines", "lines"]);
});

test("an option that there is not, and a text where a list of columns belongs", async () => {
  const path = await file("slip.csv", "text\na\n");
  await expect(openTable(path, { column: ["text"] } as TableOptions)).rejects.toThrow(
    'openTable: no option "column"; there are format, delimiter, header, columns, others',
  );
  await expect(openTable(path, { columns: "text" } as never)).rejects.toThrow(
    "columns is a string; give a list: [text]",
  );
});

test("a spreadsheet is not read as a text", async () => {
  for (const head of [Buffer.from("PK\x03\x04abc"), Buffer.from("d0cf11e0a1b11ae1", "hex")]) {
    const path = await file("book.xlsx", head);
    await expect(rowsOf(path)).rejects.toThrow(
      "book.xlsx: it is no text but a spreadsheet or an archive; save it as CSV",
    );
  }
});

describe("lines", () => {
  test("every one is a row, also an empty one and a last one without an end", async () => {
    const path = await file("a.txt", "\ufefffirst\r\n\nthird  \nlast");
    expect(await rowsOf(path)).toEqual([
      { number: 1, line: 1, share: 1 / 3, values: { text: "first" } },
      { number: 2, line: 2, share: 2 / 3, values: { text: "" } },
      { number: 3, line: 3, share: 1, values: { text: "third  " } },
      { number: 4, line: 4, share: 1, values: { text: "last" } },
    ]);
    expect(await rowsOf(await file("empty.txt", ""))).toEqual([]);
    expect(await read(await file("one.txt", "\n"), { columns: ["question"] })).toEqual([{ question: "" }]);
  });

  test("one that is not UTF-8 is a bad row among good ones", async () => {
    const path = await file(
      "bad.txt",
      Buffer.concat([Buffer.from("gut\n"), Buffer.from([0xe9]), Buffer.from("t\u00e9\nend\n")]),
    );
    expect(await read(path)).toEqual([{ text: "gut" }, "it is not UTF-8", { text: "end" }]);
  });

  test("gzip is told by its bytes, in several members too", async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `line ${i} \u{1f600}`);
    const half = lines.length / 2;
    const members = [lines.slice(0, half), lines.slice(half)].map((part) => gzipSync(`${part.join("\n")}\n`));
    const rows = await rowsOf(await file("a.gz", Buffer.concat(members)));
    expect(rows.map(({ values }) => values?.text)).toEqual(lines);
    expect(rows.at(-1)!.share).toBe(1);
    expect(rows.every(({ share }, i) => i === 0 || share >= rows[i - 1]!.share)).toBe(true);
  });

  test("what is not text is refused as a whole", async () => {
    const whole = gzipSync("a line\n".repeat(1000));
    await expect(read(await file("cut.gz", whole.subarray(0, 40)))).rejects.toThrow(/cut.gz: .*end too early/);
    const broken = Buffer.from(whole);
    broken.fill(0xff, 12, 20);
    await expect(read(await file("broken.gz", broken))).rejects.toThrow(/broken.gz: damaged gzip data/);
    await expect(read(await file("a.txt", "\u{feff}PAR1"))).resolves.toHaveLength(1);
    await expect(read(await file("b.txt", "PAR1..."))).rejects.toThrow("--format parquet");
    await expect(read(await file("c.txt", Buffer.from("\ufeffa", "utf16le")))).rejects.toThrow("save it as UTF-8");
    await expect(read(await file("long.txt", Buffer.alloc(17 << 20, "a")))).rejects.toThrow("line 1 is longer than");
    await expect(read(join(await file("missing"), "x"))).rejects.toThrow("ENOENT");
  });
});

describe("jsonl", () => {
  test("gives objects; blank lines do not count, and faults name the line", async () => {
    const path = await file("a.jsonl", '{"text":"a"}\r\n\n[1]\n{"text":\n"x"\n{"text":"\u00e9","n":1}');
    const rows = await rowsOf(path);
    expect(rows.map(({ number, line }) => [number, line])).toEqual([
      [1, 1],
      [2, 3],
      [3, 4],
      [4, 5],
      [5, 6],
    ]);
    expect(rows.map(({ values, fault }) => values ?? fault)).toEqual([
      { text: "a" },
      "it must be an object, it is an array; JSON Lines have an object on each line",
      expect.stringMatching(/^not valid JSON/),
      'it must be an object, it is "x"; JSON Lines have an object on each line',
      { text: "\u00e9", n: 1 },
    ]);
  });
});

describe("csv", () => {
  test("reads what RFC 4180 allows", async () => {
    const text = 'text,n\r\n"a, ""b""",1\r\n"two\r\nlines\n",2\n\n5" wide,3\n"",\n';
    expect(await rowsOf(await file("a.csv", text))).toMatchObject([
      { number: 1, line: 2, values: { text: 'a, "b"', n: "1" } },
      { number: 2, line: 5, values: { text: "two\r\nlines\n", n: "2" } },
      { number: 3, line: 7, values: { text: '5" wide', n: "3" } },
      { number: 4, line: 8, values: { text: "", n: "" } },
    ]);
  });

  test("a bad record does not spoil the next", async () => {
    const text = 'text,n\na\nb,1,2\n"c"d,1\ne,2\n';
    expect(await read(await file("b.csv", text))).toEqual([
      "it has 1 cell, 2 columns expected",
      'it has 3 cells, 2 columns expected; a cell that holds "," must be in quotes',
      'column 1: "," is missing after the closing quote at character 3; a quote within quotes is written twice',
      { text: "e", n: "2" },
    ]);
    const bytes = Buffer.from("text,n\n\xe9,1\nok,2\n", "latin1");
    expect(await read(await file("c.csv", bytes))).toEqual(["it is not UTF-8", { text: "ok", n: "2" }]);
  });

  test("a quote that is never closed is refused, with the line where it was opened", async () => {
    const path = await file("d.csv", 'text\nfine\n"open\nand on\n');
    await expect(read(path)).rejects.toThrow("line 3: a quote is opened that is never closed");
  });

  test("without a header, columns are numbered", async () => {
    const path = await file("e.csv", "a,b\nc,d\n");
    expect((await openTable(path, { header: false })).columns).toEqual(["1", "2"]);
    expect(await read(path, { header: false })).toEqual([
      { 1: "a", 2: "b" },
      { 1: "c", 2: "d" },
    ]);
    await expect(openTable(await file("f.csv", ""))).rejects.toThrow("a header was expected");
  });
});

test("tsv takes quotes as they are, as GLUE has them", async () => {
  const path = await file("a.tsv", 'sentence\tlabel\n"an open quote\t1\n\n`` a \'\' "b" \t0\nno label\n');
  expect(await read(path)).toEqual([
    { sentence: '"an open quote', label: "1" },
    { sentence: "`` a '' \"b\" ", label: "0" },
    "it has 1 cell, 2 columns expected",
  ]);
});

test("a million rows are read in little memory", async () => {
  const path = await file("million.csv", `text,n\n${'"a line of, text",1\n'.repeat(1_000_000)}`);
  const table = await openTable(path);
  const before = process.memoryUsage().rss;
  let [rows, most] = [0, 0];
  for await (const { number } of table.rows()) {
    rows = number;
    if (rows % 50_000 === 0) most = Math.max(most, process.memoryUsage().rss);
  }
  expect(rows).toBe(1_000_000);
  // the young generation of the heap may fill up; the file alone is 19 MB, its rows would be 200
  expect(most - before).toBeLessThan(100 << 20);
});

test("reading can end early", async () => {
  const table = await openTable(await file("early.jsonl", '{"a":1}\n'.repeat(100_000)));
  for await (const { number } of table.rows()) if (number === 3) break;
  await table.close();
});

describe.skipIf(!existsSync(SHARED))("data sets of ../shared (skipped where they are not there)", () => {
  test.each<[string, number, TableOptions]>([
    ["sst2/validation.tsv", 872, {}],
    ["sst2/train.tsv", 60_614, {}],
    ["stsb/stsb-en-dev.csv", 1500, { header: false }],
    ["stsb/stsb-en-test.csv", 1379, { header: false }],
    ["wikitext-2/valid.txt", 3760, {}],
  ])("%s has %d rows, all good", async (name, count, options) => {
    const rows = await rowsOf(join(SHARED, name), options);
    expect(rows).toHaveLength(count);
    expect(rows.filter(({ fault }) => fault)).toEqual([]);
  });
});
