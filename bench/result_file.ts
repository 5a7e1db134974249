/** A file of results is replaced as a whole. */

import { realpathSync, statSync } from "node:fs";
import { replaceSync } from "../src/node/data/fresh_file.ts";

/** In one step: until it is complete, whoever looks finds what was there before. Links are followed, mode and owner kept. */
export function writeResult(file: string, text: string): void {
  const found = statSync(file, { throwIfNoEntry: false });
  replaceSync(found ? realpathSync(file) : file, text, found && { ...found, mode: found.mode & 0o7777 });
}
