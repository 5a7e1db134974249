/** Options by name: one that nobody knows is refused, since a slip in its name would otherwise pass for the default. */

/** The names of all options that there are, which their type holds complete and true. */
export type Names<Options> = { readonly [Name in keyof Required<Options>]: 1 };

/** @throws TypeError with every option that is not known, also one that is undefined, and with those that there are */
export function requireKnown<Options extends object>(
  where: string,
  options: Options,
  known: Names<NoInfer<Options>>,
): void {
  const unknown = Object.keys(options).filter((name) => !Object.hasOwn(known, name));
  if (unknown.length === 0) return;
  throw new TypeError(`${where}: no option "${unknown.join('", "')}"; there are ${Object.keys(known).join(", ")}`);
}
