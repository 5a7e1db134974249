/** What callers in plain JavaScript may get wrong, refused by name: a slip would otherwise pass for something else. */

/** The names of all options that there are, which their type holds complete and true. */
export type Names<Options> = { readonly [Name in keyof Required<Options>]: 1 };

/** @throws TypeError for what is no object, and with every option that is not known, also one that is undefined */
export function requireKnown<Options extends object>(
  where: string,
  options: Options,
  known: Names<NoInfer<Options>>,
): void {
  const names = Object.keys(known).join(", ");
  if (Object(options) !== options || Array.isArray(options)) {
    const given = Array.isArray(options) ? "a list" : String(options);
    throw new TypeError(`${where} is given ${given} in place of options: an object of ${names}`);
  }
  const unknown = Object.keys(options).filter((name) => !Object.hasOwn(known, name));
  if (unknown.length === 0) return;
  throw new TypeError(`${where}: no option "${unknown.join('", "')}"; there are ${names}`);
}

/** @throws TypeError for what is no list: one alone, of which a string would pass for a list of its characters */
export function requireList(name: string, value: unknown): void {
  if (typeof value === "object" && value && (Symbol.iterator in value || Symbol.asyncIterator in value)) return;
  const [kind, one] = typeof value === "string" ? ["a string", "text"] : [`of type ${typeof value}`, "input"];
  throw new TypeError(`${name} is ${kind}; give a list: [${one}]`);
}
