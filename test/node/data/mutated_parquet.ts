/** Parquet files as writers make them, and what becomes of them on a bad disk or in bad hands. */

import { type ColumnSource, parquetWriteBuffer } from "hyparquet-writer";

const ROWS = 700;

/** Text, numbers, nulls, lists and structs; several pages and row groups; with and without compression and indexes. */
export function soundFiles(): Uint8Array[] {
  const list = <T>(make: (row: number) => T): T[] => Array.from({ length: ROWS }, (_, row) => make(row));
  const columns: ColumnSource[] = [
    { name: "text", data: list((row) => `row ${row} of a film that is ${"long ".repeat(row % 7)}`) },
    { name: "label", data: list((row) => ["good", "bad", null][row % 3]), nullable: true },
    { name: "count", data: list((row) => row * 77), type: "INT32" },
    { name: "id", data: list((row) => BigInt(row) << 20n), type: "INT64", encoding: "DELTA_BINARY_PACKED" },
    { name: "score", data: list((row) => row / 3), type: "DOUBLE" },
    { name: "kept", data: list((row) => row % 5 === 0), type: "BOOLEAN" },
  ];
  const nested: ColumnSource = { name: "tags", data: list((row) => [`a${row % 9}`, { b: row }]), type: "JSON" };
  return [
    { columnData: columns, codec: "SNAPPY" as const, pageSize: 2000, rowGroupSize: 300 },
    { columnData: columns, codec: "UNCOMPRESSED" as const, pageSize: 2000 },
    { columnData: [...columns, nested], codec: "SNAPPY" as const },
    { columnData: columns.slice(0, 2), codec: "UNCOMPRESSED" as const, rowGroupSize: 100 },
  ].map((options) => new Uint8Array(parquetWriteBuffer(options)));
}

/** @param next gives numbers from 0 up to 1; the same ones give the same file */
export function mutated(file: Uint8Array, next: () => number): Uint8Array {
  const upTo = (most: number): number => Math.floor(next() * most);
  let bytes = Uint8Array.from(file);
  for (let times = 1 + upTo(next() < 0.7 ? 1 : 8); times > 0; times--) {
    // lengths and counts are at the ends: in the footer, and in the header of the first page
    const place = next();
    const at =
      place < 0.5
        ? upTo(bytes.length)
        : place < 0.8
          ? Math.max(0, bytes.length - 1 - upTo(1500))
          : upTo(Math.min(64, bytes.length));
    const how = upTo(6);
    if (how === 0) bytes[at]! ^= 1 << upTo(8);
    if (how === 1) bytes[at] = upTo(256);
    if (how === 2) bytes[at] = [0, 1, 0x7f, 0x80, 0xff][upTo(5)]!;
    if (how === 3) bytes.fill(0xff, at, at + 1 + upTo(5));
    const cut = 1 + upTo(4);
    if (how === 4) bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + cut)]);
    if (how === 5)
      bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at, at + cut), ...bytes.subarray(at)]);
  }
  return bytes;
}
