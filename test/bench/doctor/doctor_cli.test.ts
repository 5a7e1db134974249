/** `bert-webgpu doctor` as built. `npm test` builds dist/ first. */

import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Findings } from "../../../bench/doctor/findings.ts";
import { tuningKey } from "../../../src/runtime/ops/tune.ts";
import { testDevice } from "../../device.ts";

const MAIN = join(import.meta.dirname, "../../../dist/node/main.js");
const adapter = process.env.BERT_WEBGPU_ADAPTER || "auto";

describe.skipIf(!existsSync(MAIN))("doctor (needs `node build.mjs`)", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "bert-webgpu-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const start = () => ({ env: { ...process.env, HF_HUB_CACHE: join(folder, "hub") }, cwd: folder, maxBuffer: 1 << 26 });
  const command = (...args: string[]): string[] => [MAIN, "doctor", "--adapter", adapter, ...args];

  test("writes one JSON, shows a table, and takes off the list what it found right", async () => {
    const { adapter: summary } = await testDevice();
    const list = join(folder, "bert-webgpu", "tuning.json");
    await promisify(execFile)("mkdir", ["-p", join(folder, "bert-webgpu")]);
    const key = `avoided | ${tuningKey(summary)}`;
    await writeFile(list, JSON.stringify({ [key]: ["pool f32", "another f32"] }));
    const { stdout } = await promisify(execFile)(process.execPath, command("--budget", "30"), start());
    expect(stdout).toMatch(/kernels right +of +left out/);
    expect(stdout).toMatch(/All is well|Nothing wrong was found, in \d+ s; \d+ kernels were left out/);
    const findings = JSON.parse(await readFile(join(folder, "bert-webgpu-doctor.json"), "utf8")) as Findings;
    expect(findings).toMatchObject({ tool: "bert-webgpu doctor", subject: { adapter: summary } });
    const complete = findings.kernels.every(({ status }) => status === "right");
    expect(findings.verdict).toBe(complete ? "well" : "incomplete");
    expect(findings.kernels.length).toBeGreaterThan(80);
    expect(findings.seconds).toBeLessThan(75); // a step that was begun is finished
    expect(findings.kernels.some(({ status }) => status === "right")).toBe(true);
    const { kernels } = findings.avoided;
    const poolIsRight = findings.kernels.some(({ name, status }) => name === "pool f32" && status === "right");
    expect(kernels).toEqual(poolIsRight ? ["another f32"] : ["another f32", "pool f32"]);
    expect(JSON.parse(await readFile(list, "utf8"))).toEqual({ [key]: kernels });
  }, 300_000);

  test("Ctrl-C keeps what there is", async () => {
    const child = spawn(process.execPath, command("--dry-run"), { ...start(), stdio: ["ignore", "pipe", "pipe"] });
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    await new Promise((resolve) => setTimeout(resolve, 6000));
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    const findings = JSON.parse(await readFile(join(folder, "bert-webgpu-doctor.json"), "utf8")) as Findings;
    expect(findings.verdict).toBe("interrupted");
  }, 120_000);

  test("an adapter that is not there is one line", async () => {
    const run = promisify(execFile)(process.execPath, [MAIN, "doctor", "--adapter", "no such card"], start());
    await expect(run).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^error: no GPU adapter for "no such card".*\n$/),
    });
  }, 60_000);
});
