/** What an output may be, whose it is, and what becomes of the file that it replaces. */

import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import {
  chmod,
  chown,
  lchown,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { basename, dirname } from "node:path";
import { describe, expect, test } from "vitest";
import { claimOutput, writeOutput } from "../../../src/node/data/claim.ts";
import { layoutOf, type OutputFormat } from "../../../src/node/data/layout.ts";
import { type OutputFile, type OutputOptions, openOutput } from "../../../src/node/data/output_file.ts";
import { scratch } from "./scratch.ts";

const file = scratch();
const posix = process.platform !== "win32";

const IDENTITY = { command: "classify", input: "x" };
const COLUMNS = [{ name: "text", type: "text" }] as const;

const open = (path: string, more: Partial<OutputOptions> = {}, format: OutputFormat = "jsonl"): Promise<OutputFile> =>
  openOutput(path, { layout: layoutOf(format, COLUMNS), identity: IDENTITY, ...more });

async function write(output: OutputFile, rows: number): Promise<void> {
  for (let row = output.begun + 1; row <= rows; row++) await output.write(row, { text: `t${row}` });
}

async function namesLike(path: string): Promise<string[]> {
  return (await readdir(dirname(path))).filter((name) => name.includes(basename(path))).sort();
}

describe("an output is one job's own", () => {
  test("a second job is refused at once, a third goes ahead when the first has ended", async () => {
    const path = await file("own.jsonl");
    const first = await open(path);
    await expect(open(path, { force: true })).rejects.toThrow(
      `${path}: another job, process ${process.pid}, is writing it`,
    );
    await expect(open(path, { resume: true })).rejects.toThrow("is writing it");
    await write(first, 2);
    await first.finish();
    expect(existsSync(`${path}.lock`)).toBe(false);
    await (await open(path, { force: true })).interrupt();
  });

  test("by way of a link it is the same output", async () => {
    const path = await file("aim.jsonl", "old\n");
    const alias = await file("alias.jsonl");
    await symlink(path, alias);
    const first = await open(alias, { force: true });
    await expect(open(path, { force: true })).rejects.toThrow("is writing it");
    await first.interrupt();
  });

  test("the lock of a process that is gone is taken, that of another machine is not", async () => {
    const path = await file("gone.jsonl");
    const claim = await claimOutput(path);
    const lock = await readFile(`${path}.lock`, "utf8");
    await claim.release();
    const child = spawn(process.execPath, ["-e", ""]);
    await new Promise((resolve) => child.on("close", resolve));
    const holder = JSON.parse(lock) as Record<string, unknown>;
    await writeFile(`${path}.lock`, JSON.stringify({ ...holder, pid: child.pid, id: "other" }));
    await (await claimOutput(path)).release();
    if (process.platform === "linux") {
      // its number was given to somebody else since
      await writeFile(`${path}.lock`, JSON.stringify({ ...holder, began: "1", id: "other" }));
      await (await claimOutput(path)).release();
    }
    await writeFile(`${path}.lock`, JSON.stringify({ ...holder, host: "elsewhere", id: "other" }));
    await expect(claimOutput(path)).rejects.toThrow(/on elsewhere, is writing it.*remove .*gone.jsonl.lock/);
    await writeFile(`${path}.lock`, "?");
    await expect(claimOutput(path)).rejects.toThrow(/does not say whose it is; remove it/);
  });

  test("of many that find it free at once, one gets it", async () => {
    const path = await file("race.jsonl");
    const dead = { pid: 2 ** 22 + 1, host: "", began: "", space: "", id: "x" };
    const own = await claimOutput(path);
    const { host, space } = JSON.parse(await readFile(`${path}.lock`, "utf8")) as typeof dead;
    await own.release();
    await writeFile(`${path}.lock`, JSON.stringify({ ...dead, host, space }));
    const claims = await Promise.allSettled(Array.from({ length: 20 }, () => claimOutput(path)));
    expect(claims.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const claim of claims) if (claim.status === "fulfilled") await claim.value.release();
    expect(await namesLike(path)).toEqual([]);
  });
});

test("what another job has left at the last moment is seen", async () => {
  for (let turns = 0; turns < 60; turns++) {
    const path = await file(`moment${turns}.jsonl`);
    const first = (async () => {
      const claim = await claimOutput(path);
      await writeFile(path, "precious\n");
      await claim.release();
    })();
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
    const second = await claimOutput(path, { refuse: new Error("it is there") }).catch((error: Error) => error.message);
    await first.catch(() => {}); // or the second one was first
    if (typeof second === "string") expect(second).toMatch(/it is there|is writing it/);
    else {
      expect(existsSync(path)).toBe(false);
      await second.release();
    }
  }
});

test.skipIf(!posix)("what a job leaves that is killed while it takes the lock is removed by the next one", async () => {
  const path = await file("drafts.jsonl");
  const claim = await claimOutput(path);
  const { host, space } = JSON.parse(await readFile(`${path}.lock`, "utf8")) as Record<string, string>;
  await claim.release();
  const victim = await file("victim_of_a_name", "precious\n");
  for (const id of ["0a-b", `x/../../${basename(victim)}`]) {
    await writeFile(`${path}.lock`, JSON.stringify({ pid: 2 ** 22 + 1, host, began: "", space, id }));
    await writeFile(`${path}.lock.0a-b`, "");
    await (await claimOutput(path)).release();
    expect(existsSync(`${path}.lock.0a-b`)).toBe(id !== "0a-b");
  }
  expect(existsSync(victim)).toBe(true);
});

describe("what cannot be an output is refused before any work", () => {
  test("the input and what lies beside it, under any name", async () => {
    const input = await file("in.jsonl", "{}\n");
    const alias = await file("in_link.jsonl");
    await symlink(input, alias);
    const hard = await file("in_hard.jsonl");
    await link(input, hard);
    for (const path of [input, alias, hard]) {
      await expect(claimOutput(path, { inputs: [input] })).rejects.toThrow("it is the input");
    }
    await expect(claimOutput(`${input}.partial`, { inputs: [input] })).rejects.toThrow("belongs beside the input");
    const partial = await file("o.jsonl.partial", "{}\n");
    const out = await file("o.jsonl");
    await expect(claimOutput(out, { inputs: [partial] })).rejects.toThrow("o.jsonl.partial is the input");
    for (const beside of ["o.jsonl.unfinished.tmp", "o.jsonl.lock.tmp", ".o.jsonl.complete.json"]) {
      const other = await file(beside, "{}\n");
      await expect(claimOutput(out, { inputs: [other] })).rejects.toThrow(`${other} is the input`);
      expect(await readFile(other, "utf8")).toBe("{}\n");
      await rm(other);
    }
    expect(await readFile(input, "utf8")).toBe("{}\n");
    expect(await namesLike(input)).toEqual(["in.jsonl"]);
  });

  test.skipIf(!posix)("a folder, a device, a FIFO, a link that leads nowhere", async () => {
    const folder = await file("folder.jsonl");
    await mkdir(folder);
    const fifo = await file("fifo.jsonl");
    execFileSync("mkfifo", [fifo]);
    const dangling = await file("dangling.jsonl");
    await symlink(await file("nothing"), dangling);
    for (const [path, why] of [
      [folder, "it is a folder"],
      [`${folder}/`, "it is a folder"],
      [await file("not_there/"), "it is a folder"],
      ["/dev/null", "it is a device"],
      [fifo, "it is a FIFO"],
      [dangling, "it is a link to a file that does not exist"],
      [await file("nowhere/x.jsonl"), "it cannot be written (ENOENT)"],
    ] as const) {
      await expect(open(path, { force: true })).rejects.toThrow(`${path}: ${why}`);
      await expect(open(path)).rejects.toThrow(`${path}: ${why}`);
    }
    expect((await lstat(dangling)).isSymbolicLink()).toBe(true);
  });
});

describe.skipIf(!posix)("a file that is replaced", () => {
  test("keeps its mode and owner, and a link to it stays a link", async () => {
    const path = await file("mode.csv", "old\n");
    await chmod(path, 0o640);
    const alias = await file("mode_link.csv");
    await symlink(path, alias);
    const root = process.getuid?.() === 0;
    if (root) execFileSync("chown", ["12345:23456", path]);
    const output = await open(alias, { force: true }, "csv");
    await write(output, 3);
    expect((await stat(`${path}.partial`)).mode & 0o077).toBe(0); // nobody reads it who may not read the result
    await output.finish();
    expect((await lstat(alias)).isSymbolicLink()).toBe(true);
    const { mode, uid, gid } = await stat(path);
    expect((mode & 0o7777).toString(8)).toBe("640");
    if (root) expect([uid, gid]).toEqual([12345, 23456]);
    expect(await readFile(alias, "utf8")).toBe("row,text\n1,t1\n2,t2\n3,t3\n");
  });

  test.each(["jsonl", "csv", "parquet"] as const)(
    "%s: stays whole through interruptions, and is replaced in the end",
    async (format) => {
      const path = await file(`whole.${format}`, "precious");
      const output = await open(path, { force: true }, format);
      await write(output, 3);
      expect(await output.interrupt()).toBe(`${path}.partial`);
      expect(await readFile(path, "utf8")).toBe("precious");
      // also when it goes on, and when that is killed
      const second = await open(path, { resume: true }, format);
      expect(second.begun).toBe(3);
      await write(second, 4);
      await second.interrupt();
      expect(await readFile(path, "utf8")).toBe("precious");
      const third = await open(path, { resume: true }, format);
      await write(third, 5);
      await third.finish();
      expect(await readFile(path, "utf8")).not.toContain("precious");
      expect(await namesLike(path)).toEqual([`.whole.${format}.complete.json`, `whole.${format}`]);
    },
  );

  test("no link that was planted at a temporary name is followed", async () => {
    const victim = await file("victim", "precious\n");
    const path = await file("planted.parquet", "old");
    for (const suffix of [".partial", ".progress.json", ".progress.json.tmp", ".partial.parquet", ".lock.tmp"]) {
      await symlink(victim, path + suffix);
    }
    await expect(open(path)).rejects.toThrow();
    await rm(`${path}.progress.json`);
    const output = await open(path, { force: true }, "parquet");
    await write(output, 2);
    await output.finish();
    await symlink(victim, `${path}.unfinished.tmp`);
    const claim = await claimOutput(path);
    await writeOutput(claim, (put) => put("new"));
    await claim.release();
    expect([await readFile(path, "utf8"), await readFile(victim, "utf8")]).toEqual(["new", "precious\n"]);
    const rows = await open(await file("hard.jsonl"));
    await write(rows, 2);
    await rows.interrupt();
    const hard = await file("hard.jsonl");
    await link(hard, `${hard}.elsewhere`);
    await rename(hard, `${hard}.partial`);
    await expect(open(hard, { resume: true })).rejects.toThrow(
      "it has another name as well, which would be written too",
    );
    await symlink(victim, `${path}.lock`);
    await expect(claimOutput(path)).rejects.toThrow("it is a link; remove it");
  });

  test("what comes to the name while the run is on is not overwritten", async () => {
    const path = await file("late.jsonl");
    const output = await open(path);
    await write(output, 2);
    await writeFile(path, "precious\n");
    await expect(output.finish()).rejects.toThrow("it has come since the run began");
    await output.interrupt();
    expect(await readFile(path, "utf8")).toBe("precious\n");
    expect(await readFile(`${path}.partial`, "utf8")).toContain('"row":2');
    await expect(open(path, { resume: true })).rejects.toThrow("it has come since the run began");
    const again = await open(path, { resume: true, force: true });
    expect(again.begun).toBe(2);
    await again.finish();
    expect(await readFile(path, "utf8")).toContain('"row":2');
  });

  test("nor is it by what is written in one go", async () => {
    const path = await file("late.svg");
    const claim = await claimOutput(path);
    await writeFile(path, "precious\n");
    await expect(writeOutput(claim, (put) => put("new"))).rejects.toThrow("it has come since the run began");
    await claim.release();
    expect([await readFile(path, "utf8"), await namesLike(path)]).toEqual(["precious\n", ["late.svg"]]);
  });

  test.skipIf(process.getuid?.() !== 0)(
    "in a shared folder: no link of others is followed, their file becomes ours",
    async () => {
      const victim = await file("shared_victim", "precious\n");
      const path = await file("shared.json");
      await symlink(victim, path);
      await lchown(path, 12345, 12345);
      await expect(claimOutput(path, { shared: true })).rejects.toThrow(
        `${path}: it is a link that user 12345 has made`,
      );
      await rm(path);
      await writeFile(path, "theirs", { mode: 0o666 });
      await chown(path, 12345, 12345);
      const claim = await claimOutput(path, { shared: true });
      await writeOutput(claim, (put) => put("ours"));
      await claim.release();
      expect((await stat(path)).uid).toBe(0);
      expect([await readFile(path, "utf8"), await readFile(victim, "utf8")]).toEqual(["ours", "precious\n"]);
    },
  );
});

describe("a disk that is full", () => {
  const root = posix && process.getuid?.() === 0;

  test.skipIf(!root)(
    "is told by the file's name, what was there stays, and the run goes on when there is room",
    async (context) => {
      const disk = await file("disk");
      await mkdir(disk);
      try {
        execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], { stdio: "pipe" });
      } catch {
        context.skip("mounting is not permitted");
      }
      try {
        const path = `${disk}/out.jsonl`;
        await writeFile(path, "precious\n");
        const output = await open(path, { force: true });
        const text = "x".repeat(10_000);
        const fill = async (to: OutputFile, rows: number): Promise<void> => {
          for (let row = to.begun + 1; row <= rows; row++) await to.write(row, { text });
          await to.finish();
        };
        await expect(fill(output, 60)).rejects.toThrow(
          `${path}.partial: it cannot be written (ENOSPC): no space left on device`,
        );
        expect(await output.interrupt()).toBe(`${path}.partial`);
        expect(await readFile(path, "utf8")).toBe("precious\n");
        expect(existsSync(`${path}.lock`)).toBe(false);
        execFileSync("mount", ["-o", "remount,size=4m", disk]);
        const again = await open(path, { resume: true });
        expect(again.begun).toBeGreaterThan(0);
        await fill(again, 60);
        const rows = (await readFile(path, "utf8")).trimEnd().split("\n");
        expect(rows.map((line) => (JSON.parse(line) as { row: number }).row)).toEqual(rows.map((_, i) => i + 1));
        expect(rows).toHaveLength(60);
        execFileSync("mount", ["-o", "remount,size=700k", disk]);
        const claim = await claimOutput(path);
        await expect(writeOutput(claim, (put) => put(text.repeat(100)))).rejects.toThrow(
          `${path}: it cannot be written (ENOSPC)`,
        );
        await claim.release();
        expect(await readFile(path, "utf8")).toContain('"row":60');
        expect(await readdir(disk)).toEqual([".out.jsonl.complete.json", "out.jsonl"]);
      } finally {
        execFileSync("umount", [disk]);
      }
    },
  );
});

describe("going on with a run", () => {
  test("that is complete is success, for the same job and the same file", async () => {
    const path = await file("done.jsonl");
    const output = await open(path);
    await write(output, 3);
    await output.finish();
    expect(await open(path, { resume: true })).toMatchObject({ complete: true, begun: 3 });
    const other = { ...IDENTITY, "model.safetensors": "9 bytes" };
    await expect(open(path, { resume: true, identity: other })).rejects.toThrow(
      'the run that is complete there is another one: model.safetensors was not given, now "9 bytes"; --force replaces it',
    );
    await expect(open(path)).rejects.toThrow("it exists");
    await truncate(path, 5);
    await expect(open(path, { resume: true })).rejects.toThrow("it has changed since it was completed");
  });

  test("that would be thrown away is named first", async () => {
    const path = await file("lost.jsonl");
    const output = await open(path);
    await write(output, 7);
    await output.interrupt();
    await expect(open(path)).rejects.toThrow(
      /lost.jsonl: it exists as an unfinished run \(up to row 7, command "classify"\); --resume goes on/,
    );
    const said: string[] = [];
    const warn = (message: string): void => void said.push(message);
    const fresh = await open(path, { force: true, warn });
    expect(said).toEqual([`${path}: an unfinished run (up to row 7, command "classify") is thrown away`]);
    await write(fresh, 1);
    await fresh.finish();
  });

  test("is refused when the file was changed since", async () => {
    const path = await file("edited.jsonl");
    const output = await open(path);
    await write(output, 7);
    await output.interrupt();
    await writeFile(path, "mine now\n");
    await expect(open(path, { resume: true })).rejects.toThrow(/it had \d+ bytes when the run was interrupted, now 9/);
    expect(await readFile(path, "utf8")).toBe("mine now\n");
    expect(existsSync(`${path}.lock`)).toBe(false);
  });
});
