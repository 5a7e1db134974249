/** Checkpoints on disk: whole or not there, whenever a writer is killed. */

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDiskStore } from "../../../src/node/training/disk_store.ts";
import type { StoredFile } from "../../../src/train/store.ts";

const ROOT = join(import.meta.dirname, "../../..");

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "bert-webgpu-store-"));
});
afterAll(() => rm(scratch, { recursive: true }));

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

async function* filesOf(contents: Readonly<Record<string, string>>): AsyncGenerator<StoredFile> {
  for (const [path, text] of Object.entries(contents)) yield { path, bytes: [encode(text), encode("!")] };
}

async function textsIn(dir: string): Promise<Record<string, string>> {
  const names = (await readdir(dir)).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(dir, name), "utf8")])),
  );
}

describe("a folder", () => {
  test("is written whole, replaced whole, and removed", async () => {
    const dir = join(scratch, "whole");
    const store = await openDiskStore(dir);
    expect(await store.list()).toEqual([]);
    await store.write("checkpoint-1", filesOf({ a: "one", b: "two" }));
    await store.write("checkpoint-2", filesOf({ a: "three" }));
    expect((await store.list()).toSorted()).toEqual(["checkpoint-1", "checkpoint-2"]);
    expect(await textsIn(join(dir, "checkpoint-1"))).toEqual({ a: "one!", b: "two!" });
    await store.write("checkpoint-1", filesOf({ c: "four" }));
    expect(await textsIn(join(dir, "checkpoint-1"))).toEqual({ c: "four!" });
    const source = await (await store.open("checkpoint-1"))!.open("c");
    expect(new TextDecoder().decode(await source!.read(0, 5))).toBe("four!");
    await source!.close();
    expect(await store.open("checkpoint-3")).toBeUndefined();
    await store.remove("checkpoint-1");
    await store.remove("checkpoint-9");
    expect(await readdir(dir)).toEqual(["checkpoint-2"]);
  });

  test("may have folders, beside it and in it, that others do not lead out of", async () => {
    const dir = join(scratch, "nested");
    const store = await openDiskStore(dir);
    await store.write("checkpoint-1", filesOf({ "1_Pooling/config.json": "one", a: "two" }));
    await store.writeFiles(filesOf({ "1_Pooling/config.json": "three", "1_Pooling/more": "four", b: "five" }));
    await store.writeFiles(filesOf({ "1_Pooling/config.json": "six" }));
    expect(await textsIn(join(dir, "checkpoint-1", "1_Pooling"))).toEqual({ "config.json": "one!" });
    expect(await textsIn(join(dir, "1_Pooling"))).toEqual({ "config.json": "six!", more: "four!" });
    expect((await readdir(dir)).sort()).toEqual(["1_Pooling", "b", "checkpoint-1"]);
    for (const path of ["../out", "a/../../out", "/out", "a//b", ".hidden/a"])
      await expect(store.writeFiles(filesOf({ [path]: "x" })), path).rejects.toThrow("is refused");
    expect(await readdir(scratch)).not.toContain("out");
  });

  test("stays what it was when a file of the new one cannot be made", async () => {
    const dir = join(scratch, "failing");
    const store = await openDiskStore(dir);
    await store.write("checkpoint-1", filesOf({ a: "one" }));
    const failing = async function* (): AsyncGenerator<StoredFile> {
      yield* filesOf({ a: "other" });
      throw new Error("the device is lost");
    };
    await expect(store.write("checkpoint-1", failing())).rejects.toThrow("the device is lost");
    await expect(store.write("checkpoint-2", failing())).rejects.toThrow("the device is lost");
    expect(await readdir(dir)).toEqual(["checkpoint-1"]);
    expect(await textsIn(join(dir, "checkpoint-1"))).toEqual({ a: "one!" });
  });

  test.each(["../out", "a/.b", ".hidden", "", "/tmp/x"])("is not called %j, nor is a file", async (name) => {
    const store = await openDiskStore(join(scratch, "names"));
    await expect(store.write("a/b", filesOf({ a: "one" }))).rejects.toThrow("is refused");
    await expect(store.write(name, filesOf({ a: "one" }))).rejects.toThrow("is refused");
    await expect(store.write("fine", filesOf({ [name]: "one" }))).rejects.toThrow("is refused");
    expect(await store.list()).toEqual([]);
  });

  test("that a killed run was about to replace is put back, and what it left unfinished is gone", async () => {
    const dir = join(scratch, "killed");
    const store = await openDiskStore(dir);
    await store.write("checkpoint-1", filesOf({ a: "one" }));
    await store.write("checkpoint-2", filesOf({ a: "two" }));
    await rename(join(dir, "checkpoint-1"), join(dir, ".checkpoint-1.replaced"));
    await mkdir(join(dir, ".checkpoint-2.replaced"));
    await mkdir(join(dir, ".checkpoint-3.unfinished"));
    await writeFile(join(dir, ".checkpoint-3.unfinished/a"), "half");
    await openDiskStore(dir);
    expect((await readdir(dir)).sort()).toEqual(["checkpoint-1", "checkpoint-2"]);
    expect(await textsIn(join(dir, "checkpoint-1"))).toEqual({ a: "one!" });
  });
});

test("files beside the folders are replaced, others stay", async () => {
  const dir = join(scratch, "beside");
  const store = await openDiskStore(dir);
  await writeFile(join(dir, "notes.txt"), "mine");
  await writeFile(join(dir, "config.json"), "old");
  await store.writeFiles(filesOf({ "config.json": "new", "model.safetensors": "weights" }));
  expect(await textsIn(dir)).toEqual({ "config.json": "new!", "model.safetensors": "weights!", "notes.txt": "mine" });
});

test("a full disk is told, and leaves the last good folder", async () => {
  const dir = join(scratch, "full");
  const store = await openDiskStore(dir);
  await store.write("checkpoint-1", filesOf({ a: "one" }));
  const full = async function* (): AsyncGenerator<StoredFile> {
    yield {
      path: "a",
      bytes: (async function* () {
        yield encode("begun");
        throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
      })(),
    };
  };
  await expect(store.write("checkpoint-2", full())).rejects.toThrow(/ENOSPC/);
  expect(await readdir(dir)).toEqual(["checkpoint-1"]);
});

test("killed at any moment, what is listed is whole and not older than what was told", async () => {
  const dir = join(scratch, "kills");
  const program = join(scratch, "writer.mjs");
  await build({
    stdin: {
      contents: `
        import { openDiskStore } from "./src/node/training/disk_store.ts";
        const store = await openDiskStore(${JSON.stringify(dir)});
        let step = Math.max(0, ...(await store.list()).map((name) => Number(name.slice(11))));
        for (;;) {
          step++;
          const bytes = new Uint8Array(200000).fill(step);
          await store.write("last", [{ path: "a", bytes: [bytes] }, { path: "b", bytes: [bytes] }]);
          await store.write("checkpoint-" + step, [{ path: "a", bytes: [bytes] }, { path: "b", bytes: [bytes] }]);
          process.stdout.write(step + "\\n");
          for (const name of await store.list()) {
            if (name !== "last" && name !== "checkpoint-" + step) await store.remove(name);
          }
        }`,
      loader: "ts",
      resolveDir: ROOT,
    },
    ...{ bundle: true, outfile: program, platform: "node", format: "esm" },
  });
  let told = 0;
  for (let round = 0; round < 8; round++) {
    const child = spawn(process.execPath, [program]);
    let output = "";
    await new Promise<void>((resolve) => {
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        // at a moment that has nothing to do with what it is at
        setTimeout(() => child.kill("SIGKILL"), Math.random() * 40);
      });
      child.on("close", () => resolve());
    });
    told = Number(output.trim().split("\n").at(-1));
    const store = await openDiskStore(dir);
    const steps = (await store.list()).filter((name) => name !== "last").map((name) => Number(name.slice(11)));
    expect(Math.max(...steps)).toBeGreaterThanOrEqual(told);
    expect(steps.length).toBeLessThanOrEqual(2);
    const last = new Set<number>();
    for (const name of await store.list()) {
      for (const file of ["a", "b"]) {
        const bytes = await readFile(join(dir, name, file));
        expect(bytes.length).toBe(200000);
        expect(new Set(bytes).size).toBe(1);
        if (name === "last") last.add(bytes[0]!);
        else expect(bytes[0]).toBe(Number(name.slice(11)) % 256);
      }
    }
    expect(last.size).toBe(1);
  }
  expect(told).toBeGreaterThanOrEqual(8);
}, 60_000);
