/** Downloads in processes of their own: killed, interrupted, side by side; and the lock between them. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { acquireLock } from "../../src/node/hub/lock.ts";
import { NEEDED, useHub, WEIGHTS } from "./hub_fixture.ts";
import { etagOf } from "./hub_server.ts";

const ROOT = join(import.meta.dirname, "../..");
const at = useHub();
const { fresh, resolve, repoDir } = at;

let programs: string;
let program: string;
beforeAll(async () => {
  // within the project, so that the program finds its dependencies
  programs = await mkdtemp(join(ROOT, "node_modules/.hub-"));
  program = join(programs, "program.mjs");
  await build({
    stdin: {
      contents: `import { resolveModel } from "./src/node/hub/resolve.ts";
        await resolveModel(process.argv[2], { onWarning: (message) => console.error(message) });
        console.log("done");`,
      loader: "ts",
      resolveDir: ROOT,
    },
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    outfile: program,
  });
});
afterAll(() => rm(programs, { recursive: true }));

interface Output {
  stdout: string;
  stderr: string;
}

/** Downloads a model, its settings from the environment alone. */
function start(name: string): { child: ChildProcess; output: Output; ended: Promise<Output> } {
  const env = {
    ...process.env,
    HF_ENDPOINT: at.hub.endpoint,
    HF_HUB_CACHE: at.cacheDir,
    HF_HUB_OFFLINE: "",
    HF_TOKEN: "",
  };
  const child = spawn(process.execPath, [program, name], { env });
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
    });
  }
  return { child, output, ended: new Promise((done) => child.on("close", () => done(output))) };
}

async function until(what: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await what()); tries++) {
    if (tries > 500) throw new Error("it did not happen within 10 s");
    await new Promise((done) => setTimeout(done, 20));
  }
}

const blobOf = (name: string): string => join(repoDir(name), "blobs", etagOf("model.safetensors", WEIGHTS));
const locksOf = (name: string): string => join(at.cacheDir, ".locks", `models--${name.replace("/", "--")}`);
const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => ({ size: -1 }))).size;

test.each(["SIGKILL", "SIGINT"] as const)("after %s in the middle, only the rest is fetched", async (signal) => {
  const { name } = fresh();
  at.hub.fault = ({ server }) => (server === "cdn" ? { stop: { after: 123_456, how: "hang" } } : undefined);
  const { child, ended } = start(name);
  await until(async () => (await sizeOf(`${blobOf(name)}.incomplete`)) === 123_456);
  await until(async () => (await readdir(locksOf(name))).length === 1); // that of the weights; the others are done
  child.kill(signal);
  await ended;
  expect(existsSync(blobOf(name))).toBe(false);
  expect((await readdir(locksOf(name))).length).toBe(1); // its lock is left

  at.hub.fault = () => undefined;
  at.hub.seen.length = 0;
  const begin = performance.now();
  const again = start(name);
  expect(await again.ended).toEqual({ stdout: "done\n", stderr: expect.any(String) });
  expect(performance.now() - begin).toBeLessThan(5000); // the dead one's lock is not waited for long
  expect(at.hub.bodies("model.safetensors").map(({ range }) => range)).toEqual(["bytes=123456-"]);
  expect(await sizeOf(blobOf(name))).toBe(WEIGHTS.length);
  expect(await readdir(locksOf(name))).toEqual([]);
});

test("two processes fetch each file once", async () => {
  const { name } = fresh();
  // the first to come is held up, so that the other one meets it
  const held = [{ stop: { after: 1000, how: "hang" as const } }];
  at.hub.fault = ({ server }) => (server === "cdn" ? held[0] : undefined);
  const both = [start(name), start(name)];
  const outputs = both.map(({ ended }) => ended);
  await until(async () => (await sizeOf(`${blobOf(name)}.incomplete`)) === 1000);
  await until(async () => both.some(({ output }) => output.stderr.includes("which downloads model.safetensors")));
  expect(at.hub.bodies("model.safetensors").length).toBe(1);
  held.length = 0;
  at.hub.release();
  const results = await Promise.all(outputs);
  expect(results.map(({ stdout }) => stdout)).toEqual(["done\n", "done\n"]);
  expect(results.map(({ stderr }) => stderr).join("")).toMatch(/waiting for another process \(\d+\), which downloads/);
  for (const path of NEEDED) expect(at.hub.bodies(path).length, path).toBe(1);
});

describe("the lock", () => {
  afterEach(() => void vi.useRealTimers());
  const lockPath = (): string => join(at.cacheDir, ".locks", "x", "etag.pid");
  const plant = async (holder: unknown, age: number): Promise<void> => {
    await mkdir(dirname(lockPath()), { recursive: true });
    await writeFile(lockPath(), typeof holder === "string" ? holder : JSON.stringify(holder));
    const then = new Date(Date.now() - age);
    await utimes(lockPath(), then, then);
  };
  test("is one holder's at a time, and passes on when released", async () => {
    const waits: unknown[] = [];
    const first = await acquireLock(lockPath());
    const second = acquireLock(lockPath(), { onWait: (pid) => waits.push(pid) });
    await new Promise((done) => setTimeout(done, 250));
    expect(waits).toEqual([process.pid]);
    expect(await first.held()).toBe(true);
    await Promise.all([first.release(), first.release()]);
    const lock = await second;
    expect([await first.held(), await lock.held()]).toEqual([false, true]);
    await first.release();
    expect(await lock.held()).toBe(true);
    await lock.release();
    expect(existsSync(lockPath())).toBe(false);
  });

  test("of a process that is gone is taken over, by one", async () => {
    const gone = spawn(process.execPath, ["--version"]);
    await new Promise((done) => gone.on("close", done));
    const dead = { pid: gone.pid, host: hostname(), id: "dead" };
    await plant(dead, 5000);
    // The clock stands still, so that nothing but the age of the lock can make it stale.
    const now = Date.now();
    vi.useFakeTimers({ toFake: ["Date"], now });
    await plant(dead, 2010);
    let holders = 0;
    const take = async (): Promise<void> => {
      const lock = await acquireLock(lockPath());
      expect(++holders).toBe(1);
      await new Promise((done) => setTimeout(done, 20));
      holders--;
      await lock.release();
    };
    await Promise.all(Array.from({ length: 5 }, take));

    await plant(dead, 0); // just now: not before it is sure
    let taken = false;
    const waiting = acquireLock(lockPath()).then((lock) => {
      taken = true;
      return lock.release();
    });
    await new Promise((done) => setTimeout(done, 250));
    vi.setSystemTime(now + 1990);
    await new Promise((done) => setTimeout(done, 250));
    expect(taken).toBe(false);
    vi.setSystemTime(now + 2010); // the file system rounds
    await waiting;
  });

  test.each([
    { pid: process.pid, host: hostname(), id: "alive" },
    { pid: 1, host: "another-machine", id: "elsewhere" },
    "",
  ])("of %j, which may be alive, is waited for", async (holder) => {
    await plant(holder, 3_600_000);
    await expect(acquireLock(lockPath(), { signal: AbortSignal.timeout(300) })).rejects.toThrow(/timeout/);
  });
});

test("a lock that was lost keeps a stopped process from naming the blob", async () => {
  const { name } = fresh();
  at.hub.fault = ({ server }) => (server === "cdn" ? { stop: { after: 1000, how: "hang" } } : undefined);
  const running = resolve(name);
  await until(async () => (await sizeOf(`${blobOf(name)}.incomplete`)) === 1000);
  // some are released by their holders meanwhile
  for (const lock of await readdir(locksOf(name))) await rm(join(locksOf(name), lock), { force: true });
  at.hub.release();
  await expect(running).rejects.toThrow(/another process took over/);
  expect(existsSync(blobOf(name))).toBe(false);
});
