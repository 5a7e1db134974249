/** What all fixtures have in common. */

export interface Fixture {
  readonly architecture?: string;
  readonly task?: string;
  readonly cases?: readonly unknown[];
  readonly [more: string]: unknown;
}

/** One comparison. */
export interface Finding {
  readonly passed: boolean;
  /** How much of what is allowed was used; above 1 when it failed. */
  readonly share: number;
  readonly text: string;
}

/** An error that is not a number fails as well. */
export function numberFinding(what: string, error: number, tolerance: number): Finding {
  return {
    passed: error <= tolerance,
    share: error / tolerance,
    text: `${what}: error ${error.toExponential(1)}, tolerance ${tolerance.toExponential(1)}`,
  };
}

/** Something that has to be equal. @param fault what is not */
export function exactFinding(what: string, fault: string | undefined): Finding {
  return { passed: fault === undefined, share: fault === undefined ? 0 : 1, text: fault ? `${what}: ${fault}` : what };
}
