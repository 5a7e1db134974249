/** Disks that refuse: file systems without links, and full ones. */

import { lstat, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, expect, test, vi } from "vitest";
import { diskFault } from "../../src/node/hub/cache.ts";
import { CONFIG, NEEDED, useHub, WEIGHTS, wholeFile } from "./hub_fixture.ts";
import { etagOf } from "./hub_server.ts";

const disk = vi.hoisted(() => ({ links: true, room: Number.POSITIVE_INFINITY }));

vi.mock("node:fs/promises", async (original) => {
  const fs = await original<typeof import("node:fs/promises")>();
  const refuse = (code: string): never => {
    throw Object.assign(new Error(`${code}: of the test`), { code });
  };
  const open: typeof fs.open = async (path, ...rest) => {
    const handle = await fs.open(path, ...rest);
    const write = handle.write.bind(handle) as (...args: unknown[]) => Promise<{ bytesWritten: number }>;
    const limited = async (...args: unknown[]): Promise<{ bytesWritten: number }> => {
      if ((args[3] as number) >= disk.room) refuse("ENOSPC");
      return write(args[0], args[1], Math.min(args[2] as number, disk.room - (args[3] as number)), args[3]);
    };
    return Object.assign(handle, { write: limited });
  };
  const symlink: typeof fs.symlink = async (...args) => (disk.links ? fs.symlink(...args) : refuse("EPERM"));
  return { ...fs, open, symlink };
});

const at = useHub();
const { fresh, resolve, repoDir } = at;
beforeEach(() => {
  disk.links = true;
  disk.room = Number.POSITIVE_INFINITY;
});

test("where links are impossible, snapshots have copies, and are complete", async () => {
  disk.links = false;
  const { name, commit } = fresh();
  expect(await wholeFile(await resolve(name), "model.safetensors")).toHaveLength(WEIGHTS.length);
  const snapshot = join(repoDir(name), "snapshots", commit);
  expect((await readdir(snapshot)).sort()).toEqual(NEEDED);
  for (const path of NEEDED) expect((await lstat(join(snapshot, path))).isFile()).toBe(true);
  expect(await readFile(join(snapshot, "config.json"), "utf8")).toBe(CONFIG);
  at.hub.seen.length = 0;
  await resolve(name, { revision: commit });
  expect(at.hub.seen).toEqual([]);
});

test("a disk that fills up keeps what has arrived, and the next run goes on from there", async () => {
  const { name } = fresh();
  disk.room = 65_537;
  await expect(resolve(name)).rejects.toThrow(/the disk is full; what has arrived is kept: make room.*\(ENOSPC\)/);
  const blob = join(repoDir(name), "blobs", etagOf("model.safetensors", WEIGHTS));
  expect((await stat(`${blob}.incomplete`)).size).toBe(65_537);
  disk.room = Number.POSITIVE_INFINITY;
  at.hub.seen.length = 0;
  await resolve(name);
  expect(at.hub.bodies("model.safetensors").map(({ range }) => range)).toEqual(["bytes=65537-"]);
});

test.each([
  ["ENOSPC", /x: the disk is full/],
  ["EDQUOT", /x: the disk is full/],
  ["EROFS", /x: the cache cannot be written; set HF_HUB_CACHE/],
  ["EACCES", /x: the cache cannot be written; set HF_HUB_CACHE/],
])("%s is said in words", (code, message) => {
  const error = Object.assign(new Error(code), { code });
  expect(String(diskFault(error, "x"))).toMatch(message);
});

test("what is not the disk's fault stays what it is", () => {
  const error = new Error("other");
  expect(diskFault(error, "x")).toBe(error);
});
