/** What `bert-webgpu tune` found, kept on disk: by adapter and driver, as JSON, which is read without trusting it. */

import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { MatmulTuning } from "../kernels/matmul/matmul_config.ts";
import { parseMatmulTuning } from "../kernels/matmul/matmul_tuning.ts";
import type { AdapterSummary } from "../runtime/device.ts";
import { type TuningResult, tuningKey } from "../runtime/ops/tune.ts";
import { type Claim, claimOutput, writeOutput } from "./data/claim.ts";
import { openFile } from "./folder.ts";
import { hubCacheDir } from "./hub/environment.ts";
import { printable } from "./terminal.ts";

/** Bytes. An adapter takes a few thousand. */
const MOST = 1 << 20;

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
    warn(
      printable(
        `${file}: this tuning is ignored, the built-in choice is used: ${reason}; run bert-webgpu tune --reset`,
      ),
    );
    return undefined;
  }
}

/** Makes the file this job's own, for `storeTuning`. @throws Error as `claimOutput`: better before anything is measured */
export async function claimTuning(file: string): Promise<Claim> {
  await mkdir(dirname(file), { recursive: true });
  return claimOutput(file, { shared: true });
}

/**
 * Stores what was found, in place of what was stored on this adapter for the classes that were measured to the end.
 * Whoever reads at that moment finds the file as it was or as it will be.
 * @param output a path, or what `claimTuning` made of it; it is given up then
 * @returns all that is now stored for this adapter
 */
export async function storeTuning(
  adapter: AdapterSummary,
  { tuning, classes }: TuningResult,
  output: string | Claim = tuningFile(),
): Promise<MatmulTuning> {
  const claim = typeof output === "string" ? await claimTuning(output) : output;
  try {
    return await storeIn(claim, adapter, { tuning, classes });
  } finally {
    await claim.release();
  }
}

async function storeIn(
  claim: Claim,
  adapter: AdapterSummary,
  { tuning, classes }: Pick<TuningResult, "tuning" | "classes">,
): Promise<MatmulTuning> {
  const all = await readAll(claim.file).catch(() => ({})); // what nobody can read is no loss
  const done = classes.filter(({ candidates }) => candidates.every(({ status }) => status !== "skipped"));
  const measured = new Set(done.map(({ name }) => name));
  const others = Object.entries((await readTuning(adapter, () => {}, claim.file)) ?? {}).filter(
    ([name]) => !measured.has(name),
  );
  const merged = { ...Object.fromEntries(others), ...tuning };
  await writeOutput(claim, (write) => write(`${JSON.stringify({ ...all, [tuningKey(adapter)]: merged }, null, 2)}\n`));
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
  const source = await openFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (!source) return {};
  let all: unknown;
  try {
    if (source.size > MOST) throw new RangeError(`it has ${source.size} bytes, at most ${MOST} are read`);
    all = JSON.parse(Buffer.from(await source.read(0, source.size)).toString("utf8"));
  } finally {
    await source.close();
  }
  if (typeof all === "object" && all !== null && !Array.isArray(all)) return all as Record<string, unknown>;
  throw new TypeError("it holds no JSON object");
}
