/** What the CPU twins take and give. */

/** Values by binding name. */
export type Inputs = Readonly<Record<string, ArrayLike<number>>>;

/** Values of the outputs by binding name. */
export type Outputs = Record<string, Float64Array>;

/** The values of a binding. */
export function valuesOf(inputs: Inputs, name: string): ArrayLike<number> {
  const values = inputs[name];
  if (values === undefined) throw new TypeError(`no values for ${name}; given are ${Object.keys(inputs).join(", ")}`);
  return values;
}

/** A copy of what an output holds beforehand; zeros where that is not given. */
export function outputOf(inputs: Inputs, elements: number, name: string = "out"): Float64Array {
  const before = inputs[name];
  return before === undefined ? new Float64Array(elements) : Float64Array.from(before);
}

/** `count` values from `start`. */
export function slice(values: ArrayLike<number>, start: number, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => values[start + i]!);
}

export function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
