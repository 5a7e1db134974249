/** The kernel bench of the command line, in a page: the same tasks, the same rows, with room for the page to draw. */

import { Engine } from "bert-webgpu";
import { copyTimes, measureCeilings } from "../../../bench/ceilings.ts";
import { typicalTasks } from "../../../bench/kernel_cases.ts";
import type { KernelTask } from "../../../bench/kernels.ts";
import type { Row } from "../../../bench/rows.ts";
import { browserOrigin } from "./origin.ts";

export interface BenchChoice {
  /** Kernels whose names hold it; all where it is empty. */
  readonly filter: string;
  /** Also those that the engine would not choose here. */
  readonly variants: boolean;
  readonly dtype: "f32" | "f16";
  /** Milliseconds for a row. */
  readonly budget: number;
}

export interface BenchEvents {
  readonly onRow: (row: Row) => void;
  /** What begins, after `done` of all the kernels. */
  readonly onProgress: (text: string, done: number) => void;
  /** Ends the run before the next kernel. */
  readonly signal: AbortSignal;
}

type Select = (name: string, place: number) => boolean;

/** Which of them a choice takes: a task without any is left out. */
export function chosenTasks(
  engine: Engine,
  { filter, variants }: Pick<BenchChoice, "filter" | "variants">,
): { readonly tasks: readonly KernelTask[]; readonly select: Select; readonly kernels: number } {
  // a kernel asked for by its name is wanted also where the engine would take another
  const all = variants || filter !== "";
  const select: Select = (name, place) => name.includes(filter) && (all || place === 0);
  const counted = typicalTasks(engine.traits).map((task) => ({ task, count: task.kernels.filter(select).length }));
  const tasks = counted.filter(({ count }) => count > 0);
  return {
    tasks: tasks.map(({ task }) => task),
    select,
    kernels: tasks.reduce((sum, { count }) => sum + count, 0),
  };
}

/** On the page's device with memory of its own, which is freed when it ends. */
export async function runBench(page: Engine, choice: BenchChoice, events: BenchEvents): Promise<void> {
  const engine = await Engine.create({ device: page.device, tuning: page.tuning });
  const { budget, dtype } = choice;
  const { onRow, signal } = events;
  let done = 0;
  const onProgress = async (text: string): Promise<void> => {
    events.onProgress(text, done);
    await drawn();
  };
  try {
    onRow(browserOrigin(engine.adapter));
    await onProgress("the ceilings of this adapter");
    const ceilings = await measureCeilings(engine, budget);
    for (const row of ceilings) onRow(row);
    const count = (row: Row): void => {
      done++;
      onRow(row);
    };
    const onFailure = (name: string, { message }: Error): void => count({ type: "failure", name, message });
    const copyTime = copyTimes(engine, budget / 2);
    const options = { budget, ceilings, copyTime, onRow: count, onProgress, onFailure, signal };
    const { tasks, select } = chosenTasks(engine, choice);
    for (const task of tasks) {
      if (signal.aborted) break;
      await task
        .measure(engine, select, dtype, options)
        .catch((error: Error) => onFailure(task.kernels.join(", "), error));
    }
  } finally {
    engine.dispose();
  }
}

/** Resolves when the page has drawn what changed, or soon where nobody sees it. */
function drawn(): Promise<void> {
  return new Promise((resolve) => {
    const frame = requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(() => {
      cancelAnimationFrame(frame);
      resolve();
    }, 100);
  });
}
