/** A run that measures: the engine, the ceilings of its adapter, and what becomes of the results. */

import type { DeviceTraits } from "../src/kernels/kernel.ts";
import { reportFailure } from "../src/node/cli/failure.ts";
import { createEngine, type Engine } from "../src/node/index.ts";
import { copyTimes, measureCeilings } from "./ceilings.ts";
import type { CommonOptions } from "./command_line.ts";
import type { KernelTask } from "./kernels.ts";
import { originOf } from "./machine.ts";
import type { benchModel } from "./model.ts";
import { watchOthers } from "./others.ts";
import { writeResults } from "./outputs.ts";
import { openReport } from "./report.ts";
import type { CeilingRow } from "./rows.ts";

export interface Session {
  readonly engine: Engine;
  readonly traits: DeviceTraits;
  readonly ceilings: readonly CeilingRow[];
  readonly options: Parameters<typeof benchModel>[3] & Parameters<KernelTask["measure"]>[3];
}

/**
 * Opens an engine, lets `prepare` look at it, measures the ceilings and lets `work` go on. What was measured is written
 * whatever ends the run, Ctrl-C included.
 * @param prepare may throw for what this device cannot do, before that costs time
 */
export async function withSession<T>(
  { adapter, dtype, budget, json, html, tuned = false }: CommonOptions,
  prepare: (engine: Engine) => T,
  work: (session: Session, prepared: T) => Promise<void>,
): Promise<void> {
  const engine = await createEngine({ adapter, preciseTimestamps: true, tuning: tuned ? undefined : false });
  const { name } = engine.adapter;
  let prepared: T;
  try {
    if (dtype === "f16" && !engine.hasF16) {
      throw new RangeError(`--dtype f16 needs the feature shader-f16, which ${name} lacks`);
    }
    if (tuned && !engine.tuning) {
      throw new RangeError(`--tuned: nothing is stored for ${name}; run bert-webgpu tune, or leave --tuned out`);
    }
    prepared = prepare(engine);
  } catch (error) {
    engine.dispose();
    throw error;
  }
  const report = openReport(json, console.log);
  process.once("SIGINT", () => {
    writeResults(report, html).then(
      () => process.exit(130),
      (error: unknown) => process.exit(reportFailure(error)),
    );
  });
  try {
    report.add({ type: "origin", tool: "bert-webgpu bench", version: 1, ...(await originOf(engine.adapter)), tuned });
    report.progress("ceilings");
    const ceilings = await measureCeilings(engine, budget, watchOthers);
    for (const row of ceilings) report.add(row);
    const options = {
      budget,
      ceilings,
      copyTime: copyTimes(engine, budget / 2),
      onRow: report.add,
      onProgress: report.progress,
      onFailure(name: string, { message }: Error): void {
        report.add({ type: "failure", name, message });
        process.exitCode = 1;
      },
      watch: watchOthers,
    };
    await work({ engine, traits: engine.traits, ceilings, options }, prepared);
  } finally {
    engine.dispose();
    await writeResults(report, html);
  }
}
