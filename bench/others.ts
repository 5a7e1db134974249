/** What other programs do meanwhile, as Node can tell: the spread of a timing does not when all of it was disturbed. */

import { cpus } from "node:os";
import type { Watch } from "./timing.ts";

/** The part of all cores' time that others take. */
export const watchOthers: Watch = () => {
  const idleTime = (): number => cpus().reduce((sum, { times }) => sum + times.idle, 0);
  const [started, idle, own] = [performance.now(), idleTime(), process.cpuUsage()];
  return () => {
    const total = (performance.now() - started) * cpus().length;
    const { user, system } = process.cpuUsage(own); // microseconds
    return Math.min(1, Math.max(0, (total - (idleTime() - idle) - (user + system) / 1e3) / total));
  };
};
