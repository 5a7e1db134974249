/** What `bert-webgpu tune` found, kept on disk: by adapter and driver, as JSON, which is read without trusting it. */

import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { MatmulTuning } from "../kernels/matmul/matmul_config.ts";
import { parseMatmulTuning } from "../kernels/matmul/matmul_tuning.ts";
import type { AdapterSummary } from "../runtime/device.ts";
import { type TuningResult, tuningKey } from "../runtime/ops/tune.ts";
import { hubCacheDir } from "./hub/environment.ts";

/** Where tunings lie: `bert-webgpu/tuning.json` beside the cache of the hub. */
export function tuningFile(env?: Parameters<typeof hubCacheDir>[0]): string {
  return join(dirname(hubCacheDir(env)), "bert-webgpu", "tuning.json");
}

/**
 * What was stored for this adapter, `undefined` when nothing was. A file that cannot be used is no reason to fail.
 * @param warn told of such a file, with the remedy
 */
export async function readTuning(
  adapter: AdapterSummary,
  warn: (message: string) => void,
  file: string = tuningFile(),
): Promise<MatmulTuning | undefined> {
  try {
    const stored = (await readAll(file))[tuningKey(adapter)];
    return stored === undefined ? undefined : parseMatmulTuning(stored);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    warn(`${file}: this tuning is ignored, the built-in choice is used: ${reason}; run bert-webgpu tune --reset`);
    return undefined;
  }
}

/**
 * Stores what was found, in place of what was stored on this adapter for the classes that were measured to the end.
 * Whoever reads at that moment finds the file as it was or as it will be.
 * @returns all that is now stored for this adapter
 */
export async function storeTuning(
  adapter: AdapterSummary,
  { tuning, classes }: TuningResult,
  file: string = tuningFile(),
): Promise<MatmulTuning> {
  const all = await readAll(file).catch(() => ({})); // what nobody can read is no loss
  const done = classes.filter(({ candidates }) => candidates.every(({ status }) => status !== "skipped"));
  const measured = new Set(done.map(({ name }) => name));
  const others = Object.entries((await readTuning(adapter, () => {}, file)) ?? {}).filter(
    ([name]) => !measured.has(name),
  );
  const merged = { ...Object.fromEntries(others), ...tuning };
  await mkdir(dirname(file), { recursive: true });
  const unfinished = `${file}.${randomUUID()}.tmp`;
  try {
    await writeFile(unfinished, `${JSON.stringify({ ...all, [tuningKey(adapter)]: merged }, null, 2)}\n`);
    await rename(unfinished, file);
  } finally {
    await rm(unfinished, { force: true });
  }
  return merged;
}

/** Removes what was stored, of all adapters. @returns whether there was something */
export async function removeTuning(file: string = tuningFile()): Promise<boolean> {
  return rm(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}

/** By adapter; the values are not looked at yet. */
async function readAll(file: string): Promise<Readonly<Record<string, unknown>>> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "{}";
    throw error;
  });
  const all: unknown = JSON.parse(text);
  if (typeof all === "object" && all !== null && !Array.isArray(all)) return all as Record<string, unknown>;
  throw new TypeError("it holds no JSON object");
}
