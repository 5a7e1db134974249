/** What tells one file from another: its size and the SHA-256 of all its bytes. Name and time do not count. */

import { createHash } from "node:crypto";
import type { ByteSource, Folder } from "../../files/bytes.ts";
import { openFile } from "../folder.ts";

const READ = 4 << 20;

/** Of an input. */
export async function fingerprintFile(path: string, onShare: OnShare): Promise<string> {
  if (path === "-") return "standard input";
  const source = await openFile(path);
  return fingerprint(source, (bytes) => onShare(bytes / source.size));
}

/** Of those of the files that are there, by path. */
export async function fingerprints(
  folder: Folder,
  paths: readonly string[],
  onShare: OnShare,
): Promise<Record<string, string>> {
  let [before, total] = [0, 0];
  for (const path of paths) {
    const source = await folder.open(path); // one at a time: shards may be a thousand
    total += source?.size ?? 0;
    await source?.close();
  }
  const found: Record<string, string> = {};
  for (const path of [...paths].sort()) {
    const source = await folder.open(path);
    if (!source) continue;
    found[path] = await fingerprint(source, (bytes) => onShare((before + bytes) / total));
    before += source.size;
  }
  return found;
}

/** Told how much is done, 0 to 1. */
type OnShare = (share: number) => void;

/** Closes the source. */
async function fingerprint(source: ByteSource, onBytes: (bytes: number) => void): Promise<string> {
  try {
    const hash = createHash("sha256");
    for (let at = 0; at < source.size; at += READ) {
      hash.update(await source.read(at, Math.min(READ, source.size - at)));
      onBytes(Math.min(source.size, at + READ));
    }
    return `${source.size} bytes, sha256 ${hash.digest("hex")}`;
  } finally {
    await source.close();
  }
}
