/** Counts what was checked. */

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

export function tally(): Tally {
  return { passed: 0, failed: 0, skipped: 0 };
}

/** Runs a check, counts it, and prints what it throws. */
export async function attempt(counts: Tally, name: string, check: () => unknown): Promise<void> {
  try {
    await check();
    counts.passed++;
  } catch (error) {
    counts.failed++;
    console.error(`FAILED ${name}\n  ${error instanceof Error ? error.message : String(error)}`);
  }
}

export function inWords({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

export function add(sum: Tally, { passed, failed, skipped }: Tally): void {
  sum.passed += passed;
  sum.failed += failed;
  sum.skipped += skipped;
}
