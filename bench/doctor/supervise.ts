/**
 * Starts the process that examines the GPU, and another one behind the step that ended it or never ended: a driver that
 * crashes or hangs is a finding like others.
 */

import { type ChildProcess, fork } from "node:child_process";
import type { Told } from "./examine.ts";
import { type Finding, isFault, type Subject } from "./findings.ts";

/** What a worker is told, as JSON. */
export interface WorkerTask {
  readonly adapter: string;
  /** Milliseconds in all, where they were asked for, and those that are spent. */
  readonly budget: number | undefined;
  readonly spent: number;
  /** Steps that are done. */
  readonly done: number;
  readonly faulty: readonly string[];
}

export interface SuperviseOptions {
  /** The worker's script. */
  readonly script: string;
  readonly adapter: string;
  /** Milliseconds in all; default: as suits the adapter. */
  readonly budget?: number | undefined;
  readonly signal: AbortSignal;
  /** A step begins, of so many. */
  readonly onStep: (step: number, of: number, name: string) => void;
}

export interface Supervised {
  readonly subject: Subject | undefined;
  readonly findings: readonly Finding[];
  /** What ended it all. */
  readonly fault: string | undefined;
}

/** Milliseconds beyond its own limit, after which a worker that blocks is ended. */
const GRACE = 5_000;
/** Milliseconds to open devices and to plan. */
const START = 120_000;
/** Processes that ended early: with more, nothing on this adapter can be believed. */
const MOST_CRASHES = 12;
/** Characters of what a process said last. */
const LAST_WORDS = 600;

/** Runs workers until all steps are done. Aborted, it gives what there is by then. */
export async function supervise({ script, adapter, budget, signal, onStep }: SuperviseOptions): Promise<Supervised> {
  const start = performance.now();
  const findings: Finding[] = [];
  let subject: Subject | undefined;
  let done = 0;
  for (let crashes = 0; crashes < MOST_CRASHES; crashes++) {
    if (signal.aborted) return { subject, findings, fault: undefined };
    const faulty = findings.flatMap((each) => (each.type === "kernel" && isFault(each) ? [each.name] : []));
    const task: WorkerTask = { adapter, budget, spent: performance.now() - start, done, faulty };
    let begun: Extract<Told, { type: "begin" }> | undefined;
    let refused: string | undefined;
    const ended = await runWorker(script, task, signal, (told) => {
      switch (told.type) {
        case "subject":
          subject = told.subject;
          return undefined;
        case "begin":
          begun = told;
          onStep(told.step, told.of, told.fault.name);
          return told.limit + GRACE;
        case "end":
          findings.push(told.finding);
          begun = undefined;
          done = told.step + 1;
          return undefined;
        case "refused":
          refused = told.message;
          return undefined;
        case "done":
          return undefined;
      }
    });
    if (ended.how === "done" || signal.aborted) return { subject, findings, fault: undefined };
    if (begun === undefined) return { subject, findings, fault: refused ?? ended.words };
    const status = ended.how === "late" ? "hung" : "crashed";
    findings.push({ ...begun.fault, status, message: ended.words });
    done = begun.step + 1;
  }
  return { subject, findings, fault: `the process that holds the GPU ended early ${MOST_CRASHES} times` };
}

interface Ended {
  readonly how: "done" | "late" | "died";
  readonly words: string;
}

/** @param hear is told what the worker says, and gives in how many milliseconds it must say more */
function runWorker(
  script: string,
  task: WorkerTask,
  signal: AbortSignal,
  hear: (told: Told) => number | undefined,
): Promise<Ended> {
  const worker: ChildProcess = fork(script, [JSON.stringify(task)], { stdio: ["ignore", "ignore", "pipe", "ipc"] });
  let [said, isDone, isLate] = ["", false, false];
  let timer: NodeJS.Timeout | undefined;
  const kill = (): void => void worker.kill("SIGKILL");
  const within = (ms: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      isLate = true;
      kill();
    }, ms);
  };
  within(START);
  signal.addEventListener("abort", kill);
  worker.stderr!.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-LAST_WORDS);
  });
  worker.on("message", (told: Told) => {
    isDone ||= told.type === "done";
    within(hear(told) ?? START);
  });
  return new Promise((resolve) => {
    worker.on("close", (code, name) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", kill);
      if (isDone) return resolve({ how: "done", words: "" });
      const how = isLate ? "it gave no answer and was ended" : name ? `ended by ${name}` : `ended with code ${code}`;
      resolve({ how: isLate ? "late" : "died", words: [how, said.trim()].filter(Boolean).join(": ") });
    });
  });
}
