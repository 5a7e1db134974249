/** The built command line with models of the hub. `npm test` builds dist/ first. */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { useHub } from "./hub_fixture.ts";
import { etagOf, type Files } from "./hub_server.ts";

const ROOT = join(import.meta.dirname, "../..");
const MAIN = join(ROOT, "dist/node/main.js");
const MODEL = join(ROOT, "weights/movie-bert");

const at = useHub();

/** The model that comes with the package, as one of the hub. */
async function movieBert(): Promise<Files> {
  const names = (await readdir(MODEL)).filter((name) => /\.(json|txt|safetensors)$/.test(name));
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(join(MODEL, name))])));
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(args: readonly string[], env = {}, stopAt?: () => Promise<boolean>): Promise<Ended> {
  const hubEnv = { HF_ENDPOINT: at.hub.endpoint, HF_HUB_CACHE: at.cacheDir, HF_HUB_OFFLINE: "", HF_TOKEN: "" };
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: tmpdir(), env: { ...process.env, ...hubEnv, ...env } });
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
    });
  }
  const ended = new Promise<number | null>((done) => child.on("close", done));
  if (stopAt) {
    for (let tries = 0; tries < 500 && !(await stopAt()); tries++) await new Promise((done) => setTimeout(done, 20));
    child.kill("SIGINT");
  }
  const code = await ended;
  expect(output.stdout + output.stderr).not.toMatch(/^\s+at /m);
  return { code, ...output };
}

describe.skipIf(!existsSync(MAIN))("the command line (needs `node build.mjs`)", () => {
  test("takes a model of the hub where it takes a folder, and lists it", async () => {
    const { name, commit } = at.fresh(await movieBert());
    const before = await run(["tokenize", "Dull .", "--model", name, "--json"]);
    expect(before).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(before.stdout)).toMatchObject({ text: "Dull .", tokens: ["[CLS]", "dull", ".", "[SEP]"] });
    expect(at.hub.bodies("model.safetensors")).toEqual([]); // not for its word pieces
    const lacking = await run(["models"]);
    expect(lacking.stdout).toMatch(
      new RegExp(`^${name}  main ${commit.slice(0, 7)} .* MB .* lacks model.safetensors\n$`),
    );

    const check = await run(["check", `${name}@${commit}`]);
    expect(check).toMatchObject({ code: 0, stderr: "" });
    expect(check.stdout).toContain(`${name}@${commit}: model folder\n`);
    expect(check.stdout).toMatch(/weights +62 tensors/);

    const listed = await run(["models", "--json"]);
    expect(listed.stderr).toBe("");
    expect(JSON.parse(listed.stdout)).toMatchObject({
      model: name,
      incomplete_bytes: 0,
      revisions: [{ commit, refs: ["main"], tasks: ["fill-mask", "text-classification"], missing: [] }],
    });
    const offline = await run(["tokenize", "Dull .", "--model", name, "--json"], { HF_HUB_OFFLINE: "1" });
    expect(offline).toEqual(before);
  });

  test("hashes what is in the cache when that is asked for", async () => {
    const files = await movieBert();
    const { name } = at.fresh(files);
    expect(await run(["check", name, "--verify"])).toMatchObject({ code: 0, stderr: "" });
    const etag = etagOf("vocab.txt", files["vocab.txt"] as Uint8Array);
    const blob = join(at.repoDir(name), "blobs", etag);
    await writeFile(blob, Buffer.from(await readFile(blob)).fill(33, 9, 10));
    for (const args of [
      ["check", name],
      ["tokenize", "x", "--model", name],
      ["convert", name, join(at.cacheDir, "out.safetensors")],
    ]) {
      const { code, stderr } = await run([...args, "--verify"]);
      expect(stderr).toMatch(
        /^error: .*: its sha1 is [0-9a-f]{40}, not [0-9a-f]{40}: remove it, and run it again.*\n$/,
      );
      expect(code).toBe(2);
    }
  });

  test("refuses in one line, without a stack", async () => {
    for (const [args, env, why] of [
      [["tokenize", "x", "--model", "acme/none"], {}, /^error: acme\/none: there is no such public model \(401\)/],
      [["tokenize", "x", "--model", "acme/none"], { HF_HUB_OFFLINE: "1" }, /^error: offline \(HF_HUB_OFFLINE\)/],
      [["tokenize", "x", "--model", "none"], {}, /^error: none: there is no such folder; models of the hub/],
      [["tokenize", "x", "--model", "acme/x"], { HF_ENDPOINT: "nowhere" }, /^error: "nowhere" is not the address/],
      [["convert", "acme/none", "out"], {}, /^error: acme\/none: there is no such public model/],
      [["check", "acme/none"], {}, /^error: acme\/none: there is no such public model/],
    ] as const) {
      const { code, stderr } = await run(args, env);
      expect(stderr).toMatch(why);
      expect(stderr).toMatch(/^[^\n]*\n$/);
      expect(code).toBe(2);
    }
    const none = await run(["models"], { HF_HUB_CACHE: join(at.cacheDir, "none") });
    expect(none).toMatchObject({
      code: 0,
      stdout: "",
      stderr: expect.stringMatching(/^0 models, 0\.0 MB in .*none\n$/),
    });
  });

  test("interrupted, says that it can go on", async () => {
    const { name } = at.fresh(await movieBert());
    at.hub.fault = ({ server }) => (server === "cdn" ? { stop: { after: 100_000, how: "hang" } } : undefined);
    const locks = join(at.cacheDir, ".locks", `models--${name.replace("/", "--")}`);
    const etag = etagOf("model.safetensors", await readFile(join(MODEL, "model.safetensors")));
    // the weights on their way, the small files done
    const partial = async (): Promise<boolean> => {
      const { size } = await stat(join(at.repoDir(name), "blobs", `${etag}.incomplete`)).catch(() => ({ size: 0 }));
      return size === 100_000 && (await readdir(locks)).length === 1;
    };
    const { code, stderr } = await run(["check", name], {}, partial);
    expect(stderr).toBe("interrupted: what has arrived is kept, and the same command goes on from there\n");
    expect(code).toBe(130);
    expect(await readdir(locks)).toEqual([]);
    const listed = await run(["models"]);
    expect(listed.stdout).toMatch(/0\.1 MB of a download that was interrupted\n$/);
  });
});
