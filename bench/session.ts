/** A run that measures: the engine, the ceilings of its adapter, and what becomes of the results. */

import { quietTerminal } from "../src/node/cli/quiet_terminal.ts";
import { createEngine, type Engine } from "../src/node/index.ts";
import { copyTimes, measureCeilings } from "./ceilings.ts";
import type { CommonOptions } from "./command_line.ts";
import type { KernelBenchOptions } from "./kernels.ts";
import { originOf, watchOthers } from "./machine.ts";
import type { ModelBenchOptions } from "./model.ts";
import { withReport } from "./outputs.ts";
import type { MeasuredRow } from "./rows.ts";

export interface Session {
  readonly engine: Engine;
  readonly options: ModelBenchOptions & KernelBenchOptions & { readonly onRow: (row: MeasuredRow) => void };
}

/**
 * Opens an engine, lets `prepare` look at it, measures the ceilings and lets `work` go on.
 * @param prepare may throw for what was asked or what this device cannot do, before that costs time
 */
export async function withSession<T>(
  { adapter, dtype, budget, tuned = false, ...outputs }: CommonOptions,
  prepare: (engine: Engine) => T | Promise<T>,
  work: (session: Session, prepared: T) => Promise<void>,
): Promise<void> {
  // what it times it verifies, and says by which kernel
  const settings = {
    adapter,
    preciseTimestamps: true,
    tuning: tuned ? undefined : (false as const),
    avoid: false as const,
  };
  const engine = await quietTerminal(() => createEngine(settings));
  const { name } = engine.adapter;
  try {
    if (dtype === "f16" && !engine.hasF16) {
      throw new RangeError(`--dtype f16 needs the feature shader-f16, which ${name} lacks`);
    }
    if (tuned && !engine.tuning) {
      throw new RangeError(`--tuned: nothing is stored for ${name}; run bert-webgpu tune, or leave --tuned out`);
    }
    await withReport(outputs, async (report) => {
      const prepared = await prepare(engine);
      report.add(await originOf(engine.adapter, tuned));
      report.progress("ceilings");
      const ceilings = await measureCeilings(engine, budget, watchOthers);
      for (const row of ceilings) report.add(row);
      const options = {
        budget,
        ceilings,
        copyTime: copyTimes(engine, budget / 2),
        onRow: report.add,
        onProgress: report.progress,
        onFailure: report.fail,
        watch: watchOthers,
      };
      await work({ engine, options }, prepared);
    });
  } finally {
    engine.dispose();
  }
}
