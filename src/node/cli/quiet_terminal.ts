/** What native code says past Node, kept off a person's terminal. */

import { closeSync, openSync, readlinkSync } from "node:fs";

/**
 * Dawn remarks on the limits of some adapters, of lavapipe's each time, and cannot be told not to. While `work` runs, a
 * terminal gets nothing of what is written to file 2; Node's own stderr goes on, since libuv opens a terminal anew for it.
 * Files and pipes get everything.
 */
export async function quietTerminal<T>(work: () => Promise<T>): Promise<T> {
  if (process.platform !== "linux" || !process.stderr.isTTY) return work();
  let terminal: string;
  try {
    terminal = readlinkSync("/proc/self/fd/2");
    closeSync(openSync(terminal, "r+")); // it can be had back
  } catch {
    return work();
  }
  const replaced = becomes2("/dev/null");
  try {
    return await work();
  } finally {
    if (replaced) becomes2(terminal);
  }
}

/** The lowest number that is free is given to what is opened: in one turn of the event loop, the one just closed. */
function becomes2(path: string): boolean {
  closeSync(2);
  const file = openSync(path, "r+");
  if (file === 2) return true;
  closeSync(file);
  return false;
}
