/** What tells one file from another: its size and the SHA-256 of all its bytes. Name and time do not count. */

import { createHash } from "node:crypto";
import type { ByteSource, Folder } from "../../files/bytes.ts";
import { openFile } from "../folder.ts";

const READ = 4 << 20;

/** Of an input. */
export async function fingerprintFile(path: string): Promise<string> {
  return path === "-" ? "standard input" : fingerprint(await openFile(path));
}

/** Of those of the files that are there, by path. */
export async function fingerprints(folder: Folder, paths: readonly string[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const path of [...paths].sort()) {
    const source = await folder.open(path);
    if (source) found[path] = await fingerprint(source);
  }
  return found;
}

/** Closes the source. */
async function fingerprint(source: ByteSource): Promise<string> {
  try {
    const hash = createHash("sha256");
    for (let at = 0; at < source.size; at += READ) {
      hash.update(await source.read(at, Math.min(READ, source.size - at)));
    }
    return `${source.size} bytes, sha256 ${hash.digest("hex")}`;
  } finally {
    await source.close();
  }
}
