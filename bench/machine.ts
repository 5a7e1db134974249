/** The machine of a run in Node: the origin of its figures, and what other programs do meanwhile. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { AdapterSummary } from "../src/runtime/device.ts";
import type { OriginRow } from "./origin.ts";
import type { Watch } from "./timing.ts";

export async function originOf(adapter: AdapterSummary, tuned: boolean): Promise<OriginRow> {
  const processors = cpus();
  return {
    type: "origin",
    tool: "bert-webgpu bench",
    version: 1,
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
    tuned,
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

/** The part of all cores' time that others take: the spread of a timing does not tell when all of it was disturbed. */
export const watchOthers: Watch = () => {
  const idleTime = (): number => cpus().reduce((sum, { times }) => sum + times.idle, 0);
  const [started, idle, own] = [performance.now(), idleTime(), process.cpuUsage()];
  return () => {
    const total = (performance.now() - started) * cpus().length;
    const { user, system } = process.cpuUsage(own); // microseconds
    return Math.min(1, Math.max(0, (total - (idleTime() - idle) - (user + system) / 1e3) / total));
  };
};
