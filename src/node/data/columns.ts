/** Which columns of a table are meant, by names that may be missing or be there twice. */

export interface ChosenColumn {
  readonly name: string;
  /** From 0. */
  readonly index: number;
}

/** Names as they stand in a file; a column without one is called by its number, from 1. */
export function columnNames(header: readonly string[]): string[] {
  return header.map((name, i) => (name === "" ? String(i + 1) : name));
}

/**
 * @param columns of the file
 * @param wanted must be there
 * @param others whether all others are chosen as well
 * @param numbered whether a number, from 1, stands for a column where none has it for a name
 * @throws Error naming all that are missing, or there more than once
 */
export function chooseColumns(
  file: string,
  columns: readonly string[],
  wanted: readonly string[],
  { others, numbered }: { readonly others: boolean; readonly numbered: boolean },
): ChosenColumn[] {
  const chosen = new Map<string, number>();
  const missing: string[] = [];
  const faults: string[] = [];
  for (const name of new Set(others ? [...wanted, ...columns] : wanted)) {
    const [first, ...more] = columns.flatMap((other, i) => (other === name ? [i] : []));
    const number = numbered && /^[1-9]\d*$/.test(name) && Number(name) <= columns.length;
    if (more.length > 0) {
      const numbers = [first!, ...more].map((i) => i + 1).join(" and ");
      const remedy = numbered ? "rename one, or give a number in place of the name" : "rename one";
      faults.push(`two columns ${JSON.stringify(name)} (${numbers}): ${remedy}`);
    } else if (first !== undefined) chosen.set(name, first);
    else if (number) chosen.set(name, Number(name) - 1);
    else missing.push(name);
  }
  if (missing.length > 0) {
    const remedy = numbered && columns.length === 1 ? ", or say with --delimiter what parts its cells" : "";
    faults.unshift(`no column ${nameList(missing)}; it has ${nameList(columns)}; choose one of these${remedy}`);
  }
  if (faults.length > 0) throw new Error(`${file} has ${faults.join("; ")}`);
  return [...chosen].map(([name, index]) => ({ name, index }));
}

/** `"a", "b"` */
export function nameList(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(", ") || "none";
}
