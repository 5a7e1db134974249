/** A folder for the files of a test file, removed at its end. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

/** @returns writes a file and gives its path; without content it only gives the path */
export function scratch(): (name: string, content?: string | Uint8Array) => Promise<string> {
  const made = mkdtemp(join(tmpdir(), "bert-webgpu-data-"));
  afterAll(async () => rm(await made, { recursive: true }));
  return async (name, content) => {
    const path = join(await made, name);
    if (content !== undefined) await writeFile(path, content);
    return path;
  };
}
