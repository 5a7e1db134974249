import { copyFile, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { layoutOf, type OutputFormat, outputFormatOf } from "../../../src/node/data/layout.ts";
import { type OutputFile, type OutputOptions, openOutput } from "../../../src/node/data/output_file.ts";
import type { Column, RowValues } from "../../../src/node/data/rows.ts";
import { openTable } from "../../../src/node/data/table.ts";
import { scratch } from "./scratch.ts";

const file = scratch();

const COLUMNS: Column[] = [
  { name: "text", type: "text" },
  { name: "label", type: "text" },
  { name: "score", type: "number" },
  { name: "vector", type: "vector" },
  { name: "parts", type: "json" },
];

/** Rows with everything that could confuse a reader; the second is left out, as a bad one is. */
const ROWS: (RowValues | undefined)[] = ['a,b "c"\nd\r\n', undefined, "", "\u{1f600}\u2028", "1,2\n3,4", '"'].map(
  (text, i) =>
    text === undefined
      ? undefined
      : { text, label: `L${i}`, score: i / 3, vector: Float32Array.of(i, 0.1, -1e-9), parts: [{ n: i, text }] },
);

const IDENTITY = { input: "x", model: "m" };

const open = (path: string, format: OutputFormat, more: Partial<OutputOptions> = {}): Promise<OutputFile> =>
  openOutput(path, { layout: layoutOf(format, COLUMNS), identity: IDENTITY, ...more });

async function writeRows(output: OutputFile, to: number = ROWS.length): Promise<void> {
  for (let row = output.begun + 1; row <= to; row++) await output.write(row, ROWS[row - 1]);
}

async function finished(path: string, format: OutputFormat): Promise<Buffer> {
  const output = await open(path, format, { resume: true });
  await writeRows(output);
  await output.finish();
  for (const suffix of [".partial", ".progress.json"]) await expect(readFile(path + suffix)).rejects.toThrow("ENOENT");
  return readFile(path);
}

test("formats are told by the name", () => {
  expect(["a.jsonl", "a.csv", "a.parquet", "a.npy"].map(outputFormatOf)).toEqual(["jsonl", "csv", "parquet", "npy"]);
  expect(() => outputFormatOf("a.txt")).toThrow("--output-format");
  expect(() => layoutOf("npy", COLUMNS.slice(0, 3))).toThrow(".npy holds vectors alone");
});

describe("what is written", () => {
  test("jsonl has the number of the row first, and singles in 9 digits", async () => {
    const lines = (await finished(await file("a.jsonl"), "jsonl")).toString().split("\n");
    expect(lines).toHaveLength(ROWS.length); // one is left out, one is the empty rest
    expect(lines[1]).toBe(
      '{"row":3,"text":"","label":"L2","score":0.6666666666666666,"vector":[2,0.100000001,-9.99999972e-10],"parts":[{"n":2,"text":""}]}',
    );
  });

  test("csv can be read back", async () => {
    const path = await file("a.csv");
    await finished(path, "csv");
    const table = await openTable(path);
    const rows: unknown[] = [];
    for await (const { values } of table.rows()) rows.push(values);
    expect(table.columns).toEqual(["row", "text", "label", "score", "vector", "parts"]);
    expect(rows[0]).toEqual({
      row: "1",
      text: ROWS[0]!.text,
      label: "L0",
      score: "0",
      vector: "[0,0.100000001,-9.99999972e-10]",
      parts: JSON.stringify(ROWS[0]!.parts),
    });
    expect(rows).toHaveLength(ROWS.length - 1);
  });

  test("npy has a row for each of the input, NaN where one is left out", async () => {
    const bytes = await finished(await file("a.npy"), "npy");
    expect(bytes.subarray(0, 10)).toEqual(Buffer.from("\x93NUMPY\x01\x00\x76\x00", "latin1"));
    expect(bytes.toString("latin1", 10, 128)).toMatch(
      /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(6, 3\), \} *\n$/,
    );
    const values = new Float32Array(Uint8Array.from(bytes.subarray(128)).buffer);
    expect([...values.subarray(0, 3)]).toEqual([...(ROWS[0]!.vector as Float32Array)]);
    expect([...values.subarray(3, 6)]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
    expect(values).toHaveLength(18);
  });

  test("npy may begin with rows left out, and hold integers", async () => {
    const path = await file("int.npy");
    const output = await open(path, "npy");
    for (const row of [1, 2]) await output.write(row, undefined);
    await output.write(3, { vector: Int8Array.of(-1, 2) });
    await output.finish();
    const bytes = await readFile(path);
    expect(bytes.toString("latin1")).toContain("'descr': '|i1', 'fortran_order': False, 'shape': (3, 2)");
    expect([...bytes.subarray(128)]).toEqual([0, 0, 0, 0, 255, 2]);
  });

  test("parquet has columns of their types", async () => {
    const path = await file("a.parquet");
    await finished(path, "parquet");
    const table = await openTable(path);
    const rows: RowValues[] = [];
    for await (const { values } of table.rows()) rows.push(values!);
    expect(table.columns).toEqual(["row", "text", "label", "score", "vector", "parts"]);
    expect(rows.map(({ row }) => row)).toEqual([1, 3, 4, 5, 6]);
    expect(rows[2]).toEqual({
      row: 4,
      text: ROWS[3]!.text,
      label: "L3",
      score: 1,
      vector: [3, Math.fround(0.1), Math.fround(-1e-9)],
      parts: ROWS[3]!.parts,
    });
  });

  test.each(["jsonl", "csv", "npy", "parquet"] as const)("%s without a row is a valid file", async (format) => {
    const path = await file(`none.${format}`);
    const output = await open(path, format);
    await output.finish();
    const bytes = await readFile(path);
    if (format === "jsonl") expect(bytes).toHaveLength(0);
    if (format === "csv") expect(bytes.toString()).toBe("row,text,label,score,vector,parts\n");
    if (format === "npy") expect(bytes.toString("latin1")).toContain("(0, 0)");
    if (format === "parquet") {
      const table = await openTable(path);
      expect(table.columns).toHaveLength(6);
      await table.close();
    }
  });
});

describe("a run that ends early", () => {
  test.each([
    ["jsonl", 5],
    ["csv", 3],
    ["npy", 2],
    ["parquet", 29],
  ] as const)("%s: cut off anywhere (every %d bytes), it goes on exactly once per row", async (format, step) => {
    const whole = await finished(await file(`whole.${format}`), format);
    const path = await file(`cut.${format}`);
    const begun = await open(path, format);
    await writeRows(begun);
    await begun.interrupt();
    // what lies at OUT.partial while a run is at work, and may be torn by a kill
    const kept = await file(`kept.${format}`);
    await copyFile(format === "parquet" ? `${path}.partial` : path, kept);
    const record = await readFile(`${path}.progress.json`);
    const { length } = await readFile(kept);
    for (let size = 0; size <= length; size += step) {
      await rm(path, { force: true });
      await copyFile(kept, `${path}.partial`);
      await truncate(`${path}.partial`, size);
      await writeFile(`${path}.progress.json`, record);
      expect((await finished(path, format)).equals(whole), `cut to ${size} of ${length} bytes`).toBe(true);
    }
  });

  test.each(["jsonl", "csv", "npy", "parquet"] as const)(
    "%s: interrupted after each row, it is valid",
    async (format) => {
      const whole = await finished(await file(`all.${format}`), format);
      const path = await file(`step.${format}`);
      for (let row = 1; row <= ROWS.length; row++) {
        const output = await open(path, format, { resume: true });
        // a row left out at the end leaves no trace in text, and is looked at again
        expect([row - 1, row - 2]).toContain(output.begun);
        await writeRows(output, row);
        await expect(readFile(path)).rejects.toThrow("ENOENT");
        await output.interrupt();
        if (format === "csv" || format === "parquet") {
          const numbers: number[] = [];
          for await (const { values } of (await openTable(path)).rows()) numbers.push(Number(values!.row));
          expect(numbers).toEqual([1, 3, 4, 5, 6].filter((number) => number <= row));
        } else expect((await readFile(path)).length).toBeGreaterThan(0);
        if (format === "parquet") await rm(path);
      }
      expect((await finished(path, format)).equals(whole)).toBe(true);
    },
  );

  test("killed between the last row and the end of it all, nothing is left to do", async () => {
    const path = await file("late.jsonl", "the whole file\n");
    await writeFile(`${path}.progress.json`, JSON.stringify({ identity: IDENTITY, stage: "finished", rows: 6 }));
    const output = await open(path, "jsonl", { resume: true });
    expect(output).toMatchObject({ complete: true, begun: 6 });
    await output.finish();
    expect(await readFile(path, "utf8")).toBe("the whole file\n");
    await expect(readFile(`${path}.progress.json`)).rejects.toThrow("ENOENT");
  });
});

describe("what is there is not lost", () => {
  test("an existing file is refused, and with --force replaced only once the new one is complete", async () => {
    const path = await file("old.jsonl", "precious\n");
    await expect(open(path, "jsonl")).rejects.toThrow(/old.jsonl: it exists; .*--force replaces it/);
    await expect(open(path, "jsonl", { resume: true })).rejects.toThrow(/it is complete, or not from here/);
    const output = await open(path, "jsonl", { force: true });
    await writeRows(output);
    expect(await readFile(path, "utf8")).toBe("precious\n");
    await output.finish();
    expect(await readFile(path, "utf8")).toMatch(/^\{"row":1/);
  });

  test("an unfinished run is refused without --resume, and to another input or command", async () => {
    const path = await file("begun.csv");
    const output = await open(path, "csv");
    await writeRows(output, 3);
    await output.interrupt();
    await expect(open(path, "csv")).rejects.toThrow("--resume goes on");
    const other = { ...IDENTITY, model: "n", topK: 2 };
    await expect(open(path, "csv", { resume: true, identity: other })).rejects.toThrow(
      'model was "m", now "n"; topK was not given, now 2. --force starts anew',
    );
    await writeFile(`${path}.progress.json`, "{");
    await expect(open(path, "csv", { resume: true })).rejects.toThrow("damaged, or not from here");
    await rm(`${path}.progress.json`);
    await rm(path);
    await writeFile(`${path}.partial`, "left over\n");
    await expect(open(path, "csv")).rejects.toThrow("an unfinished run left it; --resume goes on with it");
    await expect(open(path, "csv", { resume: true })).rejects.toThrow("its record is missing");
  });

  test("lines that are not from here are refused", async () => {
    const path = await file("foreign.jsonl");
    await writeFile(`${path}.partial`, '{"text":"a"}\n');
    await writeFile(`${path}.progress.json`, JSON.stringify({ identity: IDENTITY, stage: "running", rows: 1 }));
    await expect(open(path, "jsonl", { resume: true })).rejects.toThrow("without the number of its row");
  });
});
