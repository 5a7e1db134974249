/** `tune`: finds the fastest way to multiply on this GPU, and keeps it for all that runs here from then on. */

import { Command } from "commander";
import type { Scalar } from "../../kernels/kernel.ts";
import { describeConfig } from "../../kernels/matmul/matmul_config.ts";
import type { Engine } from "../../runtime/engine.ts";
import { type TunedClass, type TuningResult, tuneMatmul, tuningShapes } from "../../runtime/ops/tune.ts";
import { createEngine } from "../engine.ts";
import { claimTuning, removeTuning, storeTuning, tuningFile } from "../tuning.ts";
import { dtypeOption, positiveInteger } from "./command.ts";
import { InputError } from "./failure.ts";
import { aligned, print, printable, say } from "./output.ts";
import { barsOn, progress } from "./progress_bar.ts";
import { quietTerminal } from "./quiet_terminal.ts";

interface TuneCliOptions {
  readonly json: boolean;
  readonly adapter: string;
  readonly dtype: Scalar;
  readonly budget: number;
  readonly dryRun: boolean;
  readonly reset: boolean;
}

export function tuneCommand(): Command {
  return new Command("tune")
    .description("find the fastest matmul for this GPU, and use it from then on")
    .option("--json", "JSON Lines: one object per line", false)
    .option("--adapter <NAME>", "auto, hardware, software, or a part of an adapter's name", "auto")
    .addOption(dtypeOption("storage to tune for", ["f32", "f16"]).default("f32"))
    .option("--budget <MS>", "milliseconds in all", positiveInteger, 2000)
    .option("--dry-run", "measure, store nothing", false)
    .option("--reset", "measure nothing, remove what was stored for all adapters", false)
    .action(tune);
}

async function tune({ json, adapter, dtype, budget, dryRun, reset }: TuneCliOptions): Promise<void> {
  const file = tuningFile();
  if (reset) {
    const removed = await removeTuning(file);
    return print(json ? JSON.stringify({ file, removed }) : `${file}: ${removed ? "removed" : "there was nothing"}`);
  }
  const claim = dryRun ? undefined : await claimTuning(file);
  let engine: Engine | undefined;
  try {
    engine = await quietTerminal(() => createEngine({ adapter, tuning: false, avoid: false }));
    if (dtype === "f16" && !engine.hasF16) {
      throw new InputError(`${engine.adapter.name} stores no f16 (it lacks shader-f16): tune with --dtype f32`);
    }
    const shown = progress("tuning", barsOn({ json }));
    const result = await tuneMatmul(engine, {
      shapes: tuningShapes(engine, dtype),
      budgetMs: budget,
      onProgress: ({ done, total }) => shown.at(done / total),
    }).finally(() => shown.end());
    if (json) await printJson(result);
    else for (const line of aligned(tableOf(result))) await print(line);
    for (const line of complaints(result)) say(`warning: ${printable(line)}`);
    if (claim) await storeTuning(engine.adapter, result, claim);
    const { name } = engine.adapter;
    const { complete, ms } = result;
    const last = json
      ? JSON.stringify({ adapter: name, file: dryRun ? null : file, complete, ms })
      : printable(`${name}: ${(ms / 1e3).toFixed(1)} s; ${outcome(result, file, dryRun)}`);
    await print(last);
  } finally {
    engine?.dispose();
    await claim?.release();
  }
}

function outcome({ tuning }: TuningResult, file: string, dryRun: boolean): string {
  const better = Object.keys(tuning).length;
  const what =
    better === 0 ? "the built-in choices stand" : `better for ${better} ${better === 1 ? "class" : "classes"}`;
  return dryRun ? `${what}; nothing was stored` : `${what}; stored in ${file}`;
}

/** What was not measured as it should have been. */
function complaints({ classes, complete }: TuningResult): string[] {
  const wrong = classes.flatMap(({ name, candidates }) =>
    candidates
      .filter(({ status }) => status === "refused" || status === "failed")
      .map(({ config, status, reason }) => `${name}: ${describeConfig(config)} was ${status}: ${reason}`),
  );
  return complete ? wrong : [...wrong, "the budget was spent before everything was measured; --budget gives more"];
}

async function printJson({ classes }: TuningResult): Promise<void> {
  for (const found of classes) await print(JSON.stringify({ ...found, gflops: gflopsOf(found) }));
}

function gflopsOf({ shape: { m, n, k }, chosen }: TunedClass): number | undefined {
  return chosen?.ms === undefined ? undefined : (2 * m * n * k) / chosen.ms / 1e6;
}

function tableOf({ classes }: TuningResult): string[][] {
  const rows = classes.map((found) => {
    const { name, candidates, chosen } = found;
    const builtIn = candidates[0];
    if (chosen?.ms === undefined) return [name, "none is right and timed", "", "", ""];
    const against =
      chosen === builtIn
        ? "built-in"
        : builtIn?.ms === undefined
          ? "unusable"
          : `${(builtIn.ms / chosen.ms).toFixed(2)}x`;
    return [name, describeConfig(chosen.config), chosen.ms.toFixed(3), gflopsOf(found)!.toFixed(1), against];
  });
  return [["class", "chosen", "ms", "GFLOP/s", "built-in"], ...rows];
}
