/** Tables on the command line: what is found of them, and which of their columns are kept. */

import { readFile } from "node:fs/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { rowsOf, run, writeModel } from "./command_line.ts";
import { scratch } from "./scratch.ts";

const file = scratch();
let tiny: readonly string[];

beforeAll(async () => {
  tiny = ["--model", await writeModel(file, "tiny", {})];
});

describe("a table", () => {
  test("may be CSV with semicolons and line ends of old; other columns are kept, under names of their own", async () => {
    const rows = ["id;text;label;input_label;row", "007;a good, bad film;1;x;y", '"a;b";dull;0;;'].join("\r");
    const input = await file("excel.csv", `sep=;\r${rows}\r`);
    const args = ["classify", ...tiny, "--input", input, "--output"];
    const own = [
      { id: "007", text: "a good, bad film", input_input_label: "1", input_label: "x", input_row: "y" },
      { id: "a;b", text: "dull", input_input_label: "0", input_label: "", input_row: "" },
    ];
    for (const extension of ["jsonl", "csv", "parquet"]) {
      const output = await file(`kept.${extension}`);
      expect((await run([...args, output, "--keep", "all"])).code).toBe(0);
      const found = await rowsOf(output);
      expect(found).toMatchObject(own);
      expect(found.map(({ row, label }) => [Number(row), label])).toEqual([
        [1, expect.stringMatching(/^LABEL_/)],
        [2, expect.stringMatching(/^LABEL_/)],
      ]);
      expect(Object.keys(found[0]!)).toEqual(
        "row id input_input_label input_label input_row text label score".split(" "),
      );
      const once = await run([...args, output, "--keep", "all", "--resume"]);
      expect(once).toMatchObject({ code: 0, stderr: expect.stringMatching(/is complete already/) });
      const other = await run([...args, output, "--keep", "id,text", "--resume"]);
      expect(other.stderr).toMatch(/keep was "all", now "\[\\"id\\",\\"text\\"\]"/);
    }
    const output = await file("some.csv");
    expect((await run([...args, output, "--keep", "text,id", "--delimiter", ";"])).code).toBe(0);
    expect(Object.keys((await rowsOf(output))[0]!)).toEqual(["row", "id", "text", "label", "score"]);
    const given = await run([...args, output, "--keep", "text,id", "--resume"]);
    expect(given.stderr).toMatch(/delimiter was ";", now not given/);
    // names that are numbers do not come before the number of the row
    const numbered = await file("numbered.jsonl");
    const bare = await file("bare.csv", "7,a film\n8,the movie\n");
    const plain = ["classify", ...tiny, "--input", bare, "--no-header", "--column", "2", "--output", numbered];
    expect((await run([...plain, "--keep", "1"])).code).toBe(0);
    expect(await readFile(numbered, "utf8")).toMatch(/^\{"row":1,"1":"7","text":"a film",.*\n\{"row":2,/);
    expect((await run([...plain, "--keep", "1", "--resume"])).stderr).toMatch(/is complete already \(2 rows\)/);
  });

  test("keeps what JSON Lines and Parquet hold as what it is", async () => {
    const rows = [
      { id: 2 ** 40, text: "a film", "n, m": 1, on: true, tags: ["x"], mixed: 1, label: "gold" },
      { id: 7, text: "dull", "n, m": 2.5, on: null, tags: [], mixed: "one", label: null },
    ];
    const input = await file("typed.jsonl", rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const [parquet, json] = [await file("typed.parquet"), await file("typed.out.jsonl")];
    const keep = ["--keep", 'id,"n, m",on,tags,mixed,label,gone'];
    const args = ["classify", ...tiny, "--input", input, "--output"];
    const warned = await run([...args, parquet, ...keep]);
    expect(warned).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^warning: no row has a column "gone" to keep\n/),
    });
    const kept = rows.map(({ label, text, ...row }) => ({ ...row, text, input_label: label, gone: null }));
    expect(await rowsOf(parquet)).toMatchObject(kept);
    expect((await run([...args, json, "--keep", "all"])).code).toBe(0);
    expect(await rowsOf(json)).toMatchObject(kept.map(({ gone: _, ...row }) => row));
    // and from there on
    const [again, matrix] = [await file("again.jsonl"), await file("again.npy")];
    const next = ["embed", ...tiny, "--input", parquet, "--output"];
    expect((await run([...next, again, "--keep", "all"])).code).toBe(0);
    expect(await rowsOf(again)).toMatchObject(
      kept.map(({ text }, i) => ({ row: i + 1, input_row: i + 1, text, id: rows[i]!.id })),
    );
    const exact = await file(
      "exact.jsonl",
      '{"id":1234567890123456789,"text":"a"}\n{"id":1e30,"text":"a"}\n{"text":"a","text":"b"}\n',
    );
    for (const [more, why] of [
      [[...next, matrix, "--keep", "row"], /--keep: .npy holds vectors alone/],
      [[...next, again, "--force", "--keep", "rowe"], /typed.parquet has no column "rowe"; it has "row", "id"/],
      [
        [...args, await file("no.csv"), "--keep", "all"],
        /--keep all: JSON Lines do not say beforehand .* csv must; name them/,
      ],
      [[...args, await file("no.csv"), "--keep", "id,"], /names of columns separated by commas/],
      [[...args, await file("no.csv"), "--delimiter", ";"], /typed.jsonl: --delimiter is for CSV and TSV/],
      [[...args, await file("no.csv"), "--delimiter", ";;"], /must be one character/],
      [["classify", "--input", input, "--keep", "all"], /--keep needs --output/],
      [
        ["classify", ...tiny, "--input", exact, "--keep", "id", "--output", "-"],
        /row 1: column "id" has a whole number beyond 2\^53, about 1234567890123456800,.* make it text/,
      ],
    ] as const) {
      const { code, stderr } = await run(more);
      expect(code, more.join(" ")).toBe(2);
      expect(stderr).toMatch(why);
    }
    const skipped = await run([
      "classify",
      ...tiny,
      "--input",
      exact,
      "--keep",
      "id",
      "--output",
      "-",
      "--on-error",
      "skip",
    ]);
    expect(skipped.stdout).toMatch(/^\{"row":2,"id":1e\+30,"text":"a",.*\n$/);
    expect(skipped.stderr).toMatch(/row 3: it has "text" twice; rename one/);
  });

  test("without a row that counts is no success in silence", async () => {
    const output = await file("none.jsonl");
    const header = await run(["classify", ...tiny, "--input", await file("header.csv", "text,label\r")]);
    expect(header).toMatchObject({
      code: 0,
      stdout: "",
      stderr: expect.stringMatching(/^warning: .*header.csv: it has no rows\n$/),
    });
    const input = await file("latin1.csv", Buffer.from("text\n\xe9\n", "latin1"));
    const all = await run(["classify", ...tiny, "--input", input, "--output", output, "--on-error", "skip"]);
    expect(all.code).toBe(2);
    expect(all.stderr).toMatch(
      /1 rows in .*1 of them left out -> .*\nerror: .*latin1.csv: none of its rows could be used\n$/,
    );
    const twice = await run(["classify", ...tiny, "--input", await file("twice.csv", "text,n,text\na,1,b\n")]);
    expect(twice).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringMatching(/two columns "text" \(1 and 3\)/),
    });
    const lines = await run(["classify", ...tiny, "-", "--json"], { input: "a film\rdull\r\nbad\r" });
    expect(lines.stdout.split("\n").map((line) => line && (JSON.parse(line) as { text: string }).text)).toEqual([
      "a film",
      "dull",
      "bad",
      "",
    ]);
  });
});
