/** Two JSON values held against each other: scores within a tolerance, everything else exactly. */

export interface Agreement {
  /** The largest difference of two scores; NaN when one is no number. */
  readonly error: number;
  /** The first thing that is not equal, and where. */
  readonly fault: string | undefined;
}

/** Numbers at these keys, and everything below them, are scores. */
const SCORES = ["score", "scores", "data"];

export function agreementOf(actual: unknown, expected: unknown): Agreement {
  let error = 0;
  let fault: string | undefined;
  const differ = (where: string, got: unknown, want: unknown): void => {
    fault ??= `${where || "the result"} is ${excerpt(got)}, ${excerpt(want)} expected`;
  };
  const walk = (got: unknown, want: unknown, where: string, score: boolean): void => {
    if (typeof want === "number" && typeof got === "number" && score) {
      const difference = Math.abs(got - want);
      if (!(difference <= error)) error = difference;
    } else if (typeof want !== "object" || want === null || typeof got !== "object" || got === null) {
      if (got !== want) differ(where, got, want);
    } else if (Array.isArray(want) || Array.isArray(got)) {
      const [a, b] = [got as ArrayLike<unknown>, want as ArrayLike<unknown>];
      if (a.length !== b.length) differ(`the length of ${where || "the result"}`, a.length, b.length);
      else for (let i = 0; i < b.length; i++) walk(a[i], b[i], `${where}[${i}]`, score);
    } else {
      const [a, b] = [got as Record<string, unknown>, want as Record<string, unknown>];
      const [names, wanted] = [Object.keys(a).sort().join(), Object.keys(b).sort().join()];
      if (names !== wanted) differ(`what ${where || "the result"} has`, names, wanted);
      else
        for (const name of Object.keys(b)) walk(a[name], b[name], `${where}.${name}`, score || SCORES.includes(name));
    }
  };
  walk(actual, expected, "", false);
  return { error, fault };
}

function excerpt(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
