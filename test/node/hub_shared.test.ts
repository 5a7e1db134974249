/** A cache that others may write to, and servers that would keep us for ever. */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { link, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { bytesOf } from "../../src/node/hub/client.ts";
import { acquireLock } from "../../src/node/hub/lock.ts";
import { CONFIG, noise, useHub, WEIGHTS, wholeFile } from "./hub_fixture.ts";
import { etagOf } from "./hub_server.ts";

const at = useHub();
const { fresh, resolve, repoDir } = at;

const ETAG = etagOf("model.safetensors", WEIGHTS);
let victim: string;
beforeEach(async () => {
  victim = join(at.cacheDir, "..", `victim-of-${at.cacheDir.split("/").at(-1)}`);
  await writeFile(victim, "of somebody else");
  return () => rm(victim, { force: true });
});

async function plant(path: string, make: (path: string) => unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await make(path);
}
const toVictim = (path: string): Promise<void> => symlink(victim, path);
const pipe = (path: string): void => expect(spawnSync("mkfifo", [path]).status).toBe(0);

describe("nothing that is planted in a cache is followed", () => {
  test.each([
    ["a link", toVictim, /it is a link/],
    ["a second name", (path: string) => link(victim, path), /a file with another name as well/],
    ["a pipe", pipe, /no regular file/],
  ])("where a part is expected: %s", async (_, make, message) => {
    const { name } = fresh();
    await plant(join(repoDir(name), "blobs", `${ETAG}.incomplete`), make);
    await expect(resolve(name, { signal: AbortSignal.timeout(5000) })).rejects.toThrow(message);
    expect(await readFile(victim, "utf8")).toBe("of somebody else");
  });

  test("where a blob is expected: a link to a file of its size is none", async () => {
    const { name } = fresh();
    await writeFile(victim, noise(WEIGHTS.length, 9));
    await plant(join(repoDir(name), "blobs", ETAG), toVictim);
    expect(Buffer.compare((await wholeFile(await resolve(name), "model.safetensors"))!, WEIGHTS)).toBe(0);
    expect(Buffer.compare(await readFile(victim), noise(WEIGHTS.length, 9))).toBe(0);
  });

  test("where an absent file is marked", async () => {
    const { name, commit } = fresh();
    for (const path of ["special_tokens_map.json", "modules.json", ".checked.json"]) {
      await plant(join(repoDir(name), ".no_exist", commit, path), (mark) => symlink(`${victim}-none`, mark));
    }
    await resolve(name);
    expect(existsSync(`${victim}-none`)).toBe(false);
  });

  test.each(["blobs", "snapshots", "refs"])("where a folder is expected: %s", async (folder) => {
    const { name } = fresh();
    const elsewhere = `${victim}-folder`;
    await mkdir(elsewhere);
    await plant(join(repoDir(name), folder), (path) => symlink(elsewhere, path));
    await expect(resolve(name)).rejects.toThrow(/it is a link; nothing in the cache is followed out of it/);
    expect(spawnSync("ls", ["-A", elsewhere], { encoding: "utf8" }).stdout).toBe("");
    await rm(elsewhere, { recursive: true });
  });

  test.each([
    ["a link", toVictim, /it is a link/],
    ["a link to nothing", (path: string) => symlink("/no/such", path), /it is a link/],
    ["a pipe", pipe, /no regular file/],
  ])("where a lock is expected: %s", async (_, make, message) => {
    const path = join(at.cacheDir, ".locks", "x", "etag.pid");
    await plant(path, make);
    await expect(acquireLock(path, { signal: AbortSignal.timeout(3000) })).rejects.toThrow(message);
    expect(await readFile(victim, "utf8")).toBe("of somebody else");
  });

  test("where a lock of ours was", async () => {
    const path = join(at.cacheDir, ".locks", "x", "etag.pid");
    const lock = await acquireLock(path);
    await rm(path);
    await toVictim(path);
    expect(await lock.held()).toBe(false);
    await lock.release();
    expect(await readFile(victim, "utf8")).toBe("of somebody else");
  });
});

test("a signal that is aborted already waits for no lock", async () => {
  const path = join(at.cacheDir, ".locks", "x", "etag.pid");
  await expect(acquireLock(path, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  expect(existsSync(path)).toBe(false);
});

describe("what others have put into a cache", () => {
  test("is compared with the hub's list once, though nothing seems to lack", async () => {
    const { name, commit } = fresh();
    await resolve(name);
    await rm(join(repoDir(name), ".no_exist", commit, ".checked.json"));
    const blob = join(repoDir(name), "blobs", ETAG);
    await writeFile(blob, "of another size");
    await resolve(`${name}@${commit}`);
    expect(Buffer.compare(await readFile(blob), WEIGHTS)).toBe(0);
    at.hub.seen.length = 0;
    await resolve(`${name}@${commit}`);
    expect(at.hub.seen).toEqual([]);
  });

  test("of another size than it had is not used offline", async () => {
    const { name } = fresh();
    await resolve(name);
    await writeFile(join(repoDir(name), "blobs", ETAG), "cut off");
    await expect(resolve(name, { offline: true })).rejects.toThrow(
      /lacks model\.safetensors \(it has 7 of its 300000 bytes\)/,
    );
  });

  test("is hashed when that is asked for", async () => {
    const { name, commit } = fresh();
    const hashed: number[] = [];
    await resolve(name, { verify: true, onVerify: ({ loaded, total }) => hashed.push(loaded / total) });
    expect([hashed.at(-1), hashed]).toEqual([1, [...hashed].sort((a, b) => a - b)]);
    const blobs = [ETAG, etagOf("config.json", Buffer.from(CONFIG))].map((etag) => join(repoDir(name), "blobs", etag));
    await rm(join(repoDir(name), ".no_exist", commit, ".checked.json")); // then the blob's name tells
    await resolve(name, { verify: true, offline: true });
    for (const blob of blobs) {
      const sound = await readFile(blob);
      await writeFile(blob, Buffer.from(sound).fill(32, 5, 6));
      await resolve(name);
      await expect(resolve(name, { verify: true })).rejects.toThrow(/its sha(1|256) is [0-9a-f]+, not .*: remove it/);
      await writeFile(blob, sound);
    }
  });
});

describe("a server that", () => {
  test("never goes on where it broke off is asked a few times", async () => {
    const files = { "config.json": CONFIG, "tokenizer.json": "{}", "model.safetensors": noise(3 << 20, 5) };
    const { name } = fresh(files);
    at.hub.fault = ({ server }) =>
      server === "cdn" ? { ignoreRange: true, stop: { after: 2 << 20, how: "cut" } } : undefined;
    await expect(resolve(name)).rejects.toThrow(
      /model\.safetensors: it broke off 4 times, at last at .* begins it anew/,
    );
    expect(at.hub.bodies("model.safetensors").length).toBe(5);
  });

  test("names a next page of files for ever is left", async () => {
    const { name } = fresh();
    at.hub.fault = ({ path }) =>
      path.includes("/tree/")
        ? { headers: { link: `<${at.hub.endpoint}${path}?cursor=1000000>; rel="next"` } }
        : undefined;
    await expect(resolve(name)).rejects.toThrow(/its list of files has more than 200 pages/);
    expect(at.hub.seen.length).toBeLessThan(210);
  });

  test("sends a byte now and then is taken for dead", async () => {
    const hub = {
      ...{ endpoint: at.hub.endpoint, token: undefined, fetch, signal: undefined },
      ...{ retry: { tries: 1 }, patience: 300 },
    };
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await new Promise((done) => setTimeout(done, 20));
        controller.enqueue(new Uint8Array(1));
      },
    });
    const reading = (async () => {
      for await (const _ of bytesOf({ response: new Response(body), url: "http://slow/x", linked: {} }, hub));
    })();
    await expect(reading).rejects.toThrow(/slow\/x: \d+ bytes in 0\.3 s, at least 1000 are expected a second/);
  });
});
