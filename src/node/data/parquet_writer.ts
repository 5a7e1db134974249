/** Parquet output, written with hyparquet-writer once all rows are there. */

import { writeSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { SchemaElement } from "hyparquet";
import { createFresh, naming } from "./fresh_file.ts";
import { readLines } from "./lines.ts";
import type { Column, Layout, RowValues } from "./rows.ts";

/** Characters of JSON in a row group. */
const GROUP = 8 << 20;

/** Of rows that are all there; `long` has 64 bits. */
type ToldColumn = Omit<Column, "type"> & { readonly type: Exclude<Column["type"], "any"> | "long" };

/**
 * A Parquet file is closed by a footer that tells where everything lies: one that is cut off is lost. So rows are kept
 * as JSON Lines, which `publish` turns into Parquet beside it; they stay for a run that goes on later.
 */
export function parquetLayout(columns: readonly Column[], rows: Layout): Layout {
  return {
    ...rows,
    async complete(partial) {
      const told = await tellTypes(partial, columns);
      const written = `${partial}.parquet`;
      const file = await createFresh(written);
      try {
        await naming(written, () => convert(partial, file.fd, [{ name: "row", type: "integer" }, ...told]));
      } catch (error) {
        await rm(written, { force: true });
        throw error;
      } finally {
        await file.close();
      }
      return written;
    },
  };
}

/** JSON Lines to Parquet, a row group at a time. */
async function convert(from: string, to: number, columns: readonly ToldColumn[]): Promise<void> {
  const { ByteWriter, ParquetWriter } = await import("hyparquet-writer");
  const bytes = new ByteWriter();
  const spill = (): void => {
    // one call may write less than all
    for (let done = 0; done < bytes.index; ) done += writeSync(to, bytes.getBytes(), done);
    bytes.index = 0; // `offset` goes on counting from the beginning of the file
  };
  const schema = [{ name: "root", num_children: columns.length }, ...columns.flatMap(schemaOf)];
  const writer = new ParquetWriter({ writer: bytes, schema, createdBy: "bert-webgpu" });
  let rows: RowValues[] = [];
  let size = 0;
  const flush = async (): Promise<void> => {
    const columnData = columns.map(({ name, type }) => ({
      name,
      data: rows.map((row) => (type === "long" ? longOf(row[name]) : (row[name] ?? null))),
      // numbers of vectors hardly ever repeat, and looking for repeats takes longest
      ...(type === "vector" && { encoding: "PLAIN" as const }),
    }));
    await writer.write({ columnData, rowGroupSize: Math.max(rows.length, 1) });
    spill();
    rows = [];
    size = 0;
  };
  for await (const lines of readLines(from)) {
    for (const { text } of lines) {
      if (!text) continue;
      rows.push(JSON.parse(text) as RowValues);
      size += text.length;
      if (size > GROUP) await flush();
    }
  }
  if (rows.length > 0) await flush();
  await writer.finish();
  spill();
}

const longOf = (value: unknown): bigint | null => (typeof value === "number" ? BigInt(value) : null);

/** The types of columns that have `any`, from their values: those of one kind keep it, others become JSON. */
async function tellTypes(from: string, columns: readonly Column[]): Promise<ToldColumn[]> {
  const types = new Map<string, ToldColumn["type"]>();
  const open = columns.filter(({ type }) => type === "any").map(({ name }) => name);
  if (open.length > 0) {
    for await (const lines of readLines(from)) {
      for (const { text } of lines) {
        if (!text) continue;
        const row = JSON.parse(text) as RowValues;
        for (const name of open) {
          const [was, is] = [types.get(name), typeOf(row[name])];
          if (is) types.set(name, was === undefined || was === is ? is : wider(was, is));
        }
      }
    }
  }
  return columns.map(({ type, ...column }) => ({
    ...column,
    type: type === "any" ? (types.get(column.name) ?? "text") : type,
  }));
}

/** From the narrowest. */
const NUMBERS: readonly ToldColumn["type"][] = ["integer", "long", "number"];

function wider(a: ToldColumn["type"], b: ToldColumn["type"]): ToldColumn["type"] {
  const [i, j] = [NUMBERS.indexOf(a), NUMBERS.indexOf(b)];
  return i < 0 || j < 0 ? "json" : NUMBERS[Math.max(i, j)]!;
}

function typeOf(value: unknown): ToldColumn["type"] | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value === "string") return "text";
  if (typeof value === "boolean") return "boolean";
  if (typeof value !== "number") return "json";
  if (!Number.isSafeInteger(value)) return "number";
  return value === (value | 0) ? "integer" : "long";
}

function schemaOf({ name, type }: ToldColumn): SchemaElement[] {
  const optional = { name, repetition_type: "OPTIONAL" } as const;
  if (type === "long") return [{ ...optional, type: "INT64" }];
  if (type === "integer") return [{ ...optional, type: "INT32" }];
  if (type === "boolean") return [{ ...optional, type: "BOOLEAN" }];
  if (type === "number") return [{ ...optional, type: "DOUBLE" }];
  if (type === "text") return [{ ...optional, type: "BYTE_ARRAY", converted_type: "UTF8" }];
  if (type === "json") return [{ ...optional, type: "BYTE_ARRAY", converted_type: "JSON" }];
  return [
    { ...optional, converted_type: "LIST", num_children: 1 },
    { name: "list", repetition_type: "REPEATED", num_children: 1 },
    { name: "element", type: "FLOAT", repetition_type: "OPTIONAL" },
  ];
}
