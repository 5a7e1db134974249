/** Tensors as fixtures store them, and values held against them. */

export interface ExpectedTensor {
  readonly shape: readonly number[];
  readonly data: readonly (number | string)[];
  /** Only these positions of axis 1 are stored. */
  readonly positions?: readonly number[];
}

/** The largest |actual - expected|; NaN when a value is missing or not a number where one is expected. */
export function largestError(actual: ArrayLike<number>, { shape, data, positions }: ExpectedTensor): number {
  const reference = data.map(Number); // non-finite values are stored as strings
  const at = positionsInto(shape, positions);
  if (!positions && actual.length !== reference.length) return Number.NaN;
  let largest = 0;
  for (let i = 0; i < reference.length; i++) {
    const got = actual[at(i)]!;
    const want = reference[i]!;
    const error = Object.is(got, want) || got === want ? 0 : Math.abs(got - want);
    if (!(error <= largest)) largest = error;
    if (Number.isNaN(largest)) return largest;
  }
  return largest;
}

/** Of the values that are expected, taken as one vector; NaN where one is missing or not finite. */
export function cosine(actual: ArrayLike<number>, { shape, data, positions }: ExpectedTensor): number {
  const at = positionsInto(shape, positions);
  let [product, own, wanted] = [0, 0, 0];
  for (let i = 0; i < data.length; i++) {
    const [got, want] = [actual[at(i)]!, Number(data[i])];
    product += got * want;
    own += got * got;
    wanted += want * want;
  }
  return own === 0 && wanted === 0 ? 1 : product / Math.sqrt(own * wanted);
}

/** Where element i of the stored positions of axis 1 stands in the whole tensor of `shape`. */
function positionsInto(shape: readonly number[], positions: readonly number[] | undefined): (i: number) => number {
  if (!positions) return (i) => i;
  const inner = shape.slice(2).reduce((product, size) => product * size, 1);
  return (i) => {
    const column = i % inner;
    const row = Math.floor(i / inner);
    const outer = Math.floor(row / positions.length);
    return (outer * shape[1]! + positions[row % positions.length]!) * inner + column;
  };
}
