/** The origin of figures that are taken in Node. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { AdapterSummary } from "../src/runtime/device.ts";
import type { Origin } from "./origin.ts";

export async function originOf(adapter: AdapterSummary): Promise<Origin> {
  const processors = cpus();
  return {
    date: new Date().toISOString(),
    commit: await commitOf(import.meta.dirname),
    machine: {
      os: `${platform()} ${release()} ${arch()}`,
      cpu: processors[0]?.model.trim() ?? "unknown",
      cores: processors.length,
      memory: totalmem(),
      node: process.version,
      load: loadavg()[0]!,
    },
    adapter,
    driver: adapter.description,
  };
}

/** Of the package that holds `folder`, and not of a repository that it may be installed in. */
async function commitOf(folder: string): Promise<string> {
  const root = packageRoot(folder);
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
  if (!existsSync(join(root, ".git"))) return version;
  try {
    const git = async (...args: string[]): Promise<string> =>
      (await promisify(execFile)("git", ["-C", root, ...args])).stdout.trim();
    const commit = await git("rev-parse", "--short=12", "HEAD");
    const modified = (await git("status", "--porcelain", "--untracked-files=no")) !== "";
    return modified ? `${commit}-modified` : commit;
  } catch {
    return version; // no git on this machine, or nothing committed yet
  }
}

function packageRoot(folder: string): string {
  if (existsSync(join(folder, "package.json")) || dirname(folder) === folder) return folder;
  return packageRoot(dirname(folder));
}
