/** `bert-webgpu tune` as built. `npm test` builds dist/ first. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseMatmulTuning } from "../../src/kernels/matmul/matmul_tuning.ts";

const MAIN = join(import.meta.dirname, "../../dist/node/main.js");
const adapter = process.env.BERT_WEBGPU_ADAPTER || "auto";

describe.skipIf(!existsSync(MAIN))("tune (needs `node build.mjs`)", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "bert-webgpu-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function tune(...args: string[]): Promise<string> {
    const env = { ...process.env, HF_HUB_CACHE: join(folder, "hub") };
    const { stdout } = await promisify(execFile)(process.execPath, [MAIN, "tune", ...args], { env });
    return stdout;
  }

  test("prints a table and stores it, prints JSON and stores nothing, removes what was stored", async () => {
    const file = join(folder, "bert-webgpu", "tuning.json");
    const measuring = ["--adapter", adapter, "--budget", "300"];
    const lines = (await tune("--json", "--dry-run", ...measuring)).trim().split("\n");
    const [first, last] = [lines[0]!, lines.at(-1)!].map((line) => JSON.parse(line));
    expect(first).toMatchObject({ name: expect.stringMatching(/^m<=128 .* f32$/), chosen: { status: "timed" } });
    expect(first.gflops).toBeGreaterThan(0);
    expect(last).toMatchObject({ file: null, ms: expect.any(Number) });
    expect(existsSync(file)).toBe(false);

    const table = await tune(...measuring);
    expect(table).toMatch(/^class +chosen +ms +GFLOP\/s +built-in\nm<=128 .* f32 +\w+.* \d+\.\d{3} +\d+\.\d +\S+/);
    expect(table).toContain(`stored in ${file}`);
    const stored = Object.values(JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>);
    expect(stored.map(parseMatmulTuning)).toHaveLength(1);
    expect(await tune("--reset")).toBe(`${file}: removed\n`);
    expect(existsSync(file)).toBe(false);
  }, 60_000);
});
