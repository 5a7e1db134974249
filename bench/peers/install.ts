/** Other engines are installed in a folder of their own, never among the dependencies of this package. */

import { spawnSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** Written once npm is done: an interrupted installation is made again. */
const DONE = "installed.json";

/** Their scripts are not run: they fetch what is not needed here, such as CUDA libraries. */
const NPM_INSTALL = ["install", "--ignore-scripts", "--no-audit", "--no-fund"];

export function defaultInstallFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "bert-webgpu", "bench-peers");
}

/**
 * Installs what `manifest` (a package.json) names into `folder`, unless that was done already.
 * @throws Error when npm fails, which tells why on stderr
 */
export async function installPeers(
  manifest: string,
  folder: string,
  onProgress: (text: string) => void,
): Promise<void> {
  const wanted = await readFile(manifest, "utf8");
  const done = await readFile(join(folder, DONE), "utf8").catch(() => "");
  if (done === wanted) return;
  onProgress(`installing the other engines into ${folder}: about 1 GB, once`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), wanted);
  npm(folder);
  await writeFile(join(folder, DONE), wanted);
}

function npm(folder: string): void {
  const { status, signal, error } = spawnSync("npm", NPM_INSTALL, {
    cwd: folder,
    stdio: ["ignore", process.stderr, "inherit"], // stdout is for results
    shell: process.platform === "win32", // npm is a script there
  });
  if (status === 0) return;
  throw new Error(
    `npm ${NPM_INSTALL.join(" ")} in ${folder} ended with ${error?.message ?? status ?? signal}, as told above; it needs npm and its registry`,
  );
}
