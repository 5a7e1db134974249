/** Closes a test run with one plain line, for people in a hurry and for scripts: `N passed, N failed, N skipped`. */

import { writeSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

export const closingLine: Reporter = {
  onTestRunEnd(modules, unhandled) {
    const { passed, failed, skipped } = count(modules);
    const failures = failed + unhandled.length;
    // at the very end, so that nothing vitest prints while it closes comes after
    process.once("exit", () => {
      if (failures > 0) process.exitCode ||= 1;
      writeSync(1, `${passed} passed, ${failures} failed, ${skipped} skipped\n`);
    });
  },
};

function count(modules: readonly TestModule[]): { passed: number; failed: number; skipped: number } {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const module of modules) {
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      counts[state === "pending" ? "failed" : state]++; // pending here: its process died before it ended
    }
    // A file that does not load, or a failing beforeAll, is no test of its own and must not pass unseen.
    for (const group of [module, ...module.children.allSuites()]) if (group.errors().length > 0) counts.failed++;
  }
  return counts;
}
