/** Numbers as people read them. */

/** Three digits, never an exponent. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 0.1 ? 2 : 4;
  return value.toFixed(digits);
}

export function milliseconds(value: number): string {
  return value >= 1000 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(3);
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.095 ? 1 : 0)}%`;
}
