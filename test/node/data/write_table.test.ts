/** Readers and writers of files as programs use them. */

import { readdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { expect, test } from "vitest";
import { openTable, type RowValues, readVectors, writeTable } from "../../../src/node/index.ts";
import { scratch } from "./scratch.ts";

const file = scratch();

async function rowsOf(path: string): Promise<RowValues[]> {
  const rows: RowValues[] = [];
  for await (const { values } of (await openTable(path)).rows()) rows.push(values!);
  return rows;
}

const ROWS = [
  { text: 'a "film", good', score: 0.5, labels: ["x"], embedding: Float32Array.of(0.25, -1) },
  { text: "two\nlines", score: 2, labels: [], embedding: Float32Array.of(3, 0.1) },
];

test.each(["jsonl", "csv", "parquet"])("rows come back from .%s", async (extension) => {
  const path = await file(`rows.${extension}`);
  async function* rows(): AsyncGenerator<RowValues> {
    yield* ROWS;
  }
  expect(await writeTable(path, rows())).toBe(2);
  const nested = extension === "jsonl" ? (value: unknown) => value : JSON.stringify;
  const number = extension === "csv" ? String : Number;
  const float = extension === "parquet" ? Math.fround : (x: number) => Number(x.toPrecision(9));
  const found = await rowsOf(path);
  expect(found.map(({ labels, embedding, ...plain }) => plain)).toEqual(
    ROWS.map(({ text, score }, i) => ({ row: number(i + 1), text, score: number(score) })),
  );
  for (const [i, { labels, embedding }] of found.entries()) {
    const read = extension === "parquet" && typeof labels !== "string" ? JSON.stringify(labels) : labels;
    expect(read).toEqual(extension === "parquet" ? JSON.stringify(ROWS[i]!.labels) : nested(ROWS[i]!.labels));
    const values = Array.from(ROWS[i]!.embedding, float);
    const vector =
      typeof embedding === "string" ? (JSON.parse(embedding) as number[]) : Array.from(embedding as number[]);
    expect(vector.map(float)).toEqual(values);
  }
});

test("vectors go to .npy and come back, of each type and from plain lists", async () => {
  for (const array of [Float32Array, Int8Array, Uint8Array]) {
    const path = await file(`${array.name}.npy`);
    const vectors = [array.of(1, 2, 3), array.of(4, 5, 6)];
    expect(
      await writeTable(
        path,
        vectors.map((embedding, id) => ({ id, embedding })),
      ),
    ).toBe(2);
    expect(await readVectors(path)).toEqual(vectors);
  }
  const path = await file("lists.npy");
  const columns = [{ name: "v", type: "vector" }] as const;
  await writeTable(path, [{ v: [1, 2] }, { v: null }], { columns });
  expect(await readVectors(path)).toEqual([Float32Array.of(1, 2), Float32Array.of(NaN, NaN)]);
  await writeTable(path, [], { columns, force: true });
  expect(await readVectors(path)).toEqual([]);
});

/** As numpy.save writes it. */
function npy(descr: string, shape: string, data: Uint8Array, more = "'fortran_order': False"): Uint8Array {
  const header = `${`{'descr': '${descr}', ${more}, 'shape': ${shape}, }`.padEnd(117)}\n`;
  const start = Buffer.from(`\x93NUMPY\x01\x00\x76\x00`, "latin1");
  return Buffer.concat([start, Buffer.from(header), data]);
}

test("readVectors reads what numpy writes, and says what it does not read", async () => {
  const doubles = new Uint8Array(Float64Array.of(1, 2, 3, 4, 5, 6).buffer);
  expect(await readVectors(await file("f8.npy", npy("<f8", "(3, 2)", doubles)))).toEqual([
    Float64Array.of(1, 2),
    Float64Array.of(3, 4),
    Float64Array.of(5, 6),
  ]);
  const refused: readonly (readonly [name: string, content: Uint8Array, RegExp])[] = [
    ["text.npy", Buffer.from("not a matrix at all"), /text.npy: it is no .npy file/],
    ["empty.npy", Buffer.from(""), /it is no .npy file/],
    ["f2.npy", npy("<f2", "(3, 2)", doubles), /its type is "<f2"; there are <f4, <f8, \|i1, \|u1/],
    ["one.npy", npy("<f8", "(6,)", doubles), /its shape is \(6\); rows of vectors are read/],
    ["f.npy", npy("<f8", "(3, 2)", doubles, "'fortran_order': True"), /its shape is \(3, 2\) in Fortran's order/],
    ["cut.npy", npy("<f8", "(3, 2)", doubles.subarray(1)), /47 bytes after its header, \(3, 2\) of <f8 take 48/],
    ["huge.npy", npy("<f8", "(300000000000, 2)", doubles), /48 bytes after its header/],
  ];
  for (const [name, content, message] of refused) {
    await expect(readVectors(await file(name, content)), name).rejects.toThrow(message);
  }
});

test("a file that is there stays until it is replaced, and nothing is left of what fails", async () => {
  const path = await file("kept.csv", "old\n");
  await expect(writeTable(path, ROWS)).rejects.toThrow(`${path}: it is there already; force: true replaces it`);
  await expect(writeTable(path, [{ a: 1 }, { a: 1, b: 2 }], { force: true })).rejects.toThrow(
    `${path}: row 2 has "b"; the columns are "a": give columns`,
  );
  async function* broken(): AsyncGenerator<RowValues> {
    yield { a: 1 };
    throw new Error("the source is broken");
  }
  for (const name of ["broken.csv", "broken.parquet"]) {
    await expect(writeTable(await file(name), broken())).rejects.toThrow("the source is broken");
  }
  const uneven = [{ v: Float32Array.of(1) }, { v: Float32Array.of(1, 2) }];
  await expect(writeTable(await file("uneven.npy"), uneven)).rejects.toThrow(
    "row 2: a vector of 2 <f4, those before have 1 <f4",
  );
  await expect(writeTable(await file("rows.txt"), ROWS)).rejects.toThrow(/its name tells no format/);
  expect(await readFile(path, "utf8")).toBe("old\n");
  const left = (await readdir(dirname(path))).filter((name) => /kept|broken|uneven|unfinished|lock|partial/.test(name));
  expect(left).toEqual(["kept.csv"]);
  await writeTable(path, [{ a: 1 }], { force: true });
  expect(await readFile(path, "utf8")).toBe("row,a\n1,1\n");
});

test("an option that there is not is refused before anything is written", async () => {
  const path = await file("slip.csv");
  await expect(writeTable(path, ROWS, { overwrite: true } as never)).rejects.toThrow(
    'writeTable: no option "overwrite"; there are format, columns, force',
  );
  expect(await readdir(dirname(path))).not.toContain("slip.csv");
});
