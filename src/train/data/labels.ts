/** Labels as data have them, and as a model numbers them. */

/** What a cell may hold: a name or number of one label, or several. */
export type Label = string | number | boolean;

/** Names of labels, in the order of their numbers: whole numbers by size, all else by the alphabet. */
export function labelNames(labels: Iterable<Label>): string[] {
  const names = [...new Set([...labels].map(String))];
  const numbers = names.every((name) => /^\d+$/.test(name));
  return names.sort(numbers ? (a, b) => Number(a) - Number(b) : (a, b) => (a < b ? -1 : 1));
}

/**
 * The number of a label among the model's: by its name, in whatever case, else by its number.
 * @returns undefined where the model has no such label
 */
export function labelNumber(label: Label, names: readonly string[]): number | undefined {
  const text = String(label).trim();
  const exact = names.indexOf(text);
  if (exact >= 0) return exact;
  const similar = names.findIndex((name) => name.toLowerCase() === text.toLowerCase());
  if (similar >= 0) return similar;
  return /^\d+$/.test(text) && Number(text) < names.length ? Number(text) : undefined;
}

/** 1 for each of the labels, 0 for all others. */
export function severalLabels(numbers: readonly number[], count: number): number[] {
  return Array.from({ length: count }, (_, i) => (numbers.includes(i) ? 1 : 0));
}
