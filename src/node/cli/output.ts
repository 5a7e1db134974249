/** What commands write: results on stdout, everything else on stderr. */

import { once } from "node:events";
import { harmless, printable } from "../terminal.ts";

export { printable } from "../terminal.ts";

/** A line of results, or several. Waits while the reader is slower than we are. */
export async function print(line: string): Promise<void> {
  await printRaw(`${harmless(line)}\n`);
}

/** What is a file to whoever reads it; a terminal gets its text as lines. */
export async function printRaw(bytes: string | Uint8Array): Promise<void> {
  const shown = process.stdout.isTTY && typeof bytes === "string" ? harmless(bytes) : bytes;
  if (!process.stdout.write(shown)) await once(process.stdout, "drain");
}

/** Rows of cells as lines with aligned columns; the last column is as wide as it is. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join("  ")
      .trimEnd(),
  );
}

/** A line on stderr, or several. */
export function say(line: string): void {
  process.stderr.write(`${harmless(line)}\n`);
}

export const adapterText = ({ name, software }: { readonly name: string; readonly software: boolean }): string =>
  `${printable(name)}${software ? " (software: the CPU computes)" : ""}`;

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

export const scoreText = (score: number): string => score.toFixed(4).padStart(7);

const MOST_WARNINGS = 20;

/** Warnings on stderr, each once; of those after the first 20, and of those again, only how many there were. */
export function warnings(): { warn(message: string): void; end(): void } {
  const given = new Set<string>();
  let more = 0;
  return {
    warn(message) {
      if (given.has(message) || given.size === MOST_WARNINGS) {
        more++;
        return;
      }
      given.add(message);
      if (process.stderr.isTTY) process.stderr.write("\r\u001b[K"); // a bar may stand there
      say(`warning: ${printable(message)}`);
    },
    end() {
      if (more > 0) say(`warning: and ${more} more like these`);
    },
  };
}
