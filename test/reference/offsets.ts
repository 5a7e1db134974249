/** Python counts code points, JavaScript UTF-16 units; fixtures hold both. */

/** The code points before a place that is given in UTF-16 units. */
export function codePointOffset(text: string, at: number): number {
  let count = 0;
  for (const _ of text.slice(0, at)) count++;
  return count;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** A result with its offsets in both units, as fixtures have it. */
export function withBothOffsets<Result extends Span>(
  text: string,
  result: Result,
): Result & { readonly start_utf16: number; readonly end_utf16: number } {
  const { start, end } = result;
  return {
    ...result,
    start: codePointOffset(text, start),
    end: codePointOffset(text, end),
    start_utf16: start,
    end_utf16: end,
  };
}
