/** Where this package lies, and the versions of what it is made of. */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

interface PackageJson {
  readonly name?: string;
  readonly version?: string;
}

/** The folder of this package: the nearest one above this file, be it source or bundle, that is named bert-webgpu. */
export function packageRoot(): string {
  return ancestor((folder) => readPackage(folder)?.name === "bert-webgpu");
}

export function packageVersion(): string {
  return readPackage(packageRoot())?.version ?? "unknown";
}

/** Of the npm package `webgpu`, which is Dawn; "not installed" where it is missing. */
export function dawnVersion(): string {
  try {
    const entry = dirname(fileURLToPath(import.meta.resolve("webgpu")));
    return readPackage(ancestor((folder) => readPackage(folder)?.name === "webgpu", entry))?.version ?? "unknown";
  } catch {
    return "not installed";
  }
}

/** The folder of movie-bert, the small model that comes with the package; for `openFolder`. */
export function bundledModel(): string {
  return join(packageRoot(), "weights", "movie-bert");
}

function ancestor(found: (folder: string) => boolean, from: string = import.meta.dirname): string {
  for (let folder = from; ; folder = dirname(folder)) {
    if (found(folder)) return folder;
    if (folder === dirname(folder))
      throw new Error(`the package's own package.json is not above ${from}; install it anew`);
  }
}

function readPackage(folder: string): PackageJson | undefined {
  const file = join(folder, "package.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as PackageJson) : undefined;
}
