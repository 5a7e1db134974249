/**
 * What `bert-webgpu tune` and `doctor` found, kept on disk: by adapter and driver, as JSON, which is read without trusting
 * it.
 */

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

/** The key of an adapter's kernels to avoid, beside that of its tuning. */
const avoidedKey = (adapter: AdapterSummary): string => `avoided | ${tuningKey(adapter)}`;

/** Kernels that doctor found wrong on this adapter, for `avoidKernels`. A file that cannot be used is told to `warn`. */
export async function readAvoided(
  adapter: AdapterSummary,
  warn: (message: string) => void,
  file: string = tuningFile(),
): Promise<readonly string[]> {
  try {
    return namesIn((await readAll(file))[avoidedKey(adapter)] ?? []);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    warn(printable(`${file}: its list of kernels to avoid is ignored: ${reason}; run bert-webgpu doctor`));
    return [];
  }
}

function namesIn(value: unknown): readonly string[] {
  if (Array.isArray(value) && value.every((name) => typeof name === "string")) return value;
  throw new TypeError("it is not a list of names");
}

/**
 * Puts kernels on the adapter's list, and takes off those that were found right.
 * @returns all that are now on it
 */
export async function storeAvoided(
  adapter: AdapterSummary,
  { wrong, right }: { readonly wrong: readonly string[]; readonly right: readonly string[] },
  file: string = tuningFile(),
): Promise<readonly string[]> {
  const claim = await claimTuning(file);
  try {
    const all = await readAll(claim.file).catch(() => ({}));
    const before = await readAvoided(adapter, () => {}, claim.file);
    const avoided = [...new Set([...before.filter((name) => !right.includes(name)), ...wrong])].sort();
    if (before.length === 0 && avoided.length === 0) return avoided;
    const { [avoidedKey(adapter)]: _, ...others }: Readonly<Record<string, unknown>> = all;
    await writeAll(claim, avoided.length > 0 ? { ...others, [avoidedKey(adapter)]: avoided } : others);
    return avoided;
  } finally {
    await claim.release();
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
  await writeAll(claim, { ...all, [tuningKey(adapter)]: merged });
  return merged;
}

function writeAll(claim: Claim, all: Readonly<Record<string, unknown>>): Promise<void> {
  return writeOutput(claim, (write) => write(`${JSON.stringify(all, null, 2)}\n`));
}

/** Removes what tuning stored, of all adapters; lists of kernels to avoid stay. @returns whether there was something */
export async function removeTuning(file: string = tuningFile()): Promise<boolean> {
  const all = Object.entries(await readAll(file).catch(() => ({})));
  const avoided = all.filter(([key]) => key.startsWith("avoided | "));
  if (avoided.length > 0) {
    const claim = await claimTuning(file);
    await writeAll(claim, Object.fromEntries(avoided)).finally(claim.release);
    return avoided.length < all.length;
  }
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
