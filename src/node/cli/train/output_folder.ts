/** The folder of a trained model: it is one job's own, and nothing is lost that is not meant to be. */

import { mkdir, readdir, realpath, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { naming } from "../../data/fresh_file.ts";
import { lockOutput, type Release } from "../../data/output_lock.ts";
import { InputError } from "../failure.ts";

export interface OutputFolder {
  /** Where it lies, links followed. */
  readonly dir: string;
  readonly release: Release;
}

/** What a run has while it is on. */
const CHECKPOINT = /^\.?checkpoint-\d+(\.unfinished|\.replaced)?$/;

/**
 * Makes a folder this job's own until it is released.
 * @param resume undefined where there is no run to go on with
 * @param reads files and folders that are read: none of them may lie in it
 * @throws InputError where it has anything, unless `resume` or `force`; with `force`, checkpoints in it are removed
 */
export async function claimFolder(
  path: string,
  { resume, force, reads }: { readonly resume?: boolean; readonly force: boolean; readonly reads: readonly string[] },
): Promise<OutputFolder> {
  if (resume && force) throw new InputError("--resume goes on with what --force replaces: give one of them");
  const dir = await placeOf(path);
  for (const read of reads) {
    const real = await realpath(read).catch(() => undefined);
    if (real === undefined) continue;
    if (real === dir || real.startsWith(dir + sep))
      throw new InputError(`${path}: ${read} in it is read; name another folder`);
  }
  const release = await lockOutput(`${dir}.lock`, path);
  try {
    const names = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    if (names.length > 0 && !resume && !force) {
      const what =
        resume === undefined
          ? "--force replaces the tokenizer in it"
          : "--force replaces the model in it, --resume goes on with its run";
      throw new InputError(`${path}: it is not empty; ${what}`);
    }
    if (force) {
      for (const name of names.filter((name) => CHECKPOINT.test(name))) await rm(join(dir, name), { recursive: true });
    }
    return { dir, release };
  } catch (error) {
    await release();
    throw error;
  }
}

async function placeOf(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found && !found.isDirectory()) throw new InputError(`${path}: it is no folder; name one for the model`);
  if (found) return realpath(path);
  const parent = dirname(resolve(path));
  await naming(path, () => mkdir(parent, { recursive: true }));
  return join(await realpath(parent), basename(resolve(path)));
}
