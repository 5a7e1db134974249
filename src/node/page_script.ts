/** The script of HTML reports, which the build bundles: it draws the plots. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** The same path from dist/node as from src/node. */
const SCRIPT = new URL("../../dist/report.js", import.meta.url);

/** @throws Error when the build has not bundled it */
export async function pageScript(): Promise<string> {
  return readFile(SCRIPT, "utf8").catch((error: Error) => {
    throw new Error(`an HTML report needs ${fileURLToPath(SCRIPT)}: run node build.mjs (${error.message})`);
  });
}
