/** A process that crashes or blocks is a finding, and another one goes on behind it. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { supervise } from "../../../bench/doctor/supervise.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bert-webgpu-"));
});
afterEach(() => rm(folder, { recursive: true }));

const SUBJECT = { adapter: { name: "a card" }, features: [], limits: {} };

/** A worker of four steps, which does in each what its name says. */
const WORKER = `
const { done, faulty } = JSON.parse(process.argv[2]);
const tell = (what) => new Promise((sent) => process.send(what, sent));
const names = ["well", "crash", "block", "end"];
await tell({ type: "subject", subject: ${JSON.stringify(SUBJECT)} });
for (let step = done; step < names.length; step++) {
  const finding = { type: "kernel", name: names[step], mode: "f32", rows: 0, of: 1, replaceable: true };
  await tell({ type: "begin", step, of: names.length, limit: -4000, fault: { ...finding, status: "crashed" } });
  if (names[step] === "crash") process.kill(process.pid, "SIGSEGV");
  if (names[step] === "block") for (;;);
  await tell({ type: "end", step, finding: { ...finding, status: "right", message: faulty.join() } });
}
await tell({ type: "done" });
process.disconnect();
`;

async function run(source: string, signal = new AbortController().signal) {
  const script = join(folder, "worker.mjs");
  await writeFile(script, source);
  const begun: string[] = [];
  const onStep = (step: number, of: number, name: string): void => void begun.push(`${step} of ${of}: ${name}`);
  return { begun, ...(await supervise({ script, adapter: "any", signal, onStep })) };
}

test("what crashes and what blocks is told, and the rest goes on, knowing of both", async () => {
  const { begun, findings, subject, fault } = await run(WORKER);
  expect(begun).toEqual(["0 of 4: well", "1 of 4: crash", "2 of 4: block", "3 of 4: end"]);
  expect(findings.map(({ name, status }) => `${name} ${status}`)).toEqual([
    ...["well right", "crash crashed", "block hung", "end right"],
  ]);
  expect(findings[1]!.message).toMatch(/SIGSEGV/);
  expect(findings[3]!.message).toBe("crash,block");
  expect(subject).toEqual(SUBJECT);
  expect(fault).toBeUndefined();
}, 60_000);

test("a process that ends before its first step ends it all, with its words", async () => {
  const { findings, fault } = await run('console.error("no driver"); process.exit(3);');
  expect(findings).toEqual([]);
  expect(fault).toBe("ended with code 3: no driver");
});

test("an interruption keeps what there is", async () => {
  const controller = new AbortController();
  const blocks = WORKER.replace('"crash", "block"', '"block", "end"');
  const running = run(blocks, controller.signal);
  setTimeout(() => controller.abort(), 700);
  const { findings, fault } = await running;
  expect(findings.map(({ name }) => name)).not.toContain("end");
  expect(fault).toBeUndefined();
}, 60_000);
