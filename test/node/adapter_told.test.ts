/** Every result of the command line says which adapter computed it, and a terminal sees nothing else of adapters. */

import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const MAIN = join(import.meta.dirname, "../../dist/node/main.js");
const ADAPTER = process.env.BERT_WEBGPU_ADAPTER || "auto";
const FILM = "a fine film .";

function command(...args: string[]) {
  return spawnSync(process.execPath, [MAIN, ...args, "--adapter", ADAPTER], { cwd: tmpdir(), encoding: "utf8" });
}

const { adapter } = JSON.parse(command("info", "--json").stdout) as { adapter: { name: string; software: boolean } };
const line = `adapter: ${adapter.name}${adapter.software ? " (software: the CPU computes)" : ""}`;
const told = (stderr: string): string[] => stderr.split("\n").filter((text) => text.startsWith("adapter"));

describe.each([
  ["fill-mask", "a [MASK] film ."],
  ["classify", FILM],
  ["embed", FILM],
  ["embed", FILM, "--sparse"],
  ["similarity", FILM, "dull"],
  ["rerank", "--method", "embeddings", "film", FILM, "dull"],
  ["summarise", `${FILM} It is long. It is good.`],
])("%s %s %s", (...args) => {
  test("says its adapter on stderr", () => {
    const { status, stderr, stdout } = command(...args);
    expect([status, told(stderr)]).toEqual([0, [line]]);
    expect(stdout).not.toContain(adapter.name);
  });

  test("says it in each object with --json", () => {
    const { status, stderr, stdout } = command(...args, "--json");
    expect([status, told(stderr)]).toEqual([0, []]);
    for (const object of stdout.trim().split("\n")) expect(JSON.parse(object)).toHaveProperty("adapter", adapter.name);
  });
});

/** util-linux's, which runs a command in a terminal of its own. */
const hasTerminal = process.platform === "linux" && spawnSync("script", ["--version"]).status === 0;
test.skipIf(!hasTerminal)(
  "a terminal gets what the command says and nothing that native code says (needs script)",
  () => {
    const shell = `"${process.execPath}" "${MAIN}" classify "${FILM}" --adapter "${ADAPTER}"`;
    const { stdout } = spawnSync("script", ["-qec", shell, "/dev/null"], { cwd: tmpdir(), encoding: "utf8" });
    expect(stdout).not.toContain("Warning");
    expect(stdout.split("\r\n")[0]).toBe(line);
    expect(stdout).toMatch(/POSITIVE .*a fine film \./);
  },
);
