/** Tensors whose elements do not lie in row-major order: transposed, sliced, repeated views of a storage. */
import type { ByteSource } from "../bytes.ts";

/** A view: `strides` in elements, `begin` in bytes from the beginning of the file. */
export interface StridedTensor {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly begin: number;
}

/** Of the storage, at a time. */
const WINDOW_BYTES = 4_194_304;

/** The strides of row-major order, in elements. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= Math.max(shape[axis]!, 1);
  }
  return strides;
}

/** Whether reading on from the first element meets the others in their order. */
export function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  const expected = rowMajorStrides(shape);
  return shape.includes(0) || shape.every((size, axis) => size === 1 || strides[axis] === expected[axis]);
}

/**
 * The bytes of `count` elements of `size` bytes from element `offset` on, in row-major order. Goes through the storage
 * in windows of 4 MiB, from the first element wanted to the last; windows with none of them are not read.
 */
export async function gather(
  source: ByteSource,
  { shape, strides, begin }: StridedTensor,
  size: number,
  offset: number,
  count: number,
): Promise<Uint8Array> {
  const result = new Uint8Array(count * size);
  let from = Number.POSITIVE_INFINITY;
  let end = 0;
  forEachPlace(shape, strides, offset, count, (place) => {
    from = Math.min(from, place);
    end = Math.max(end, place + 1);
  });
  while (from < end) {
    const length = Math.min(WINDOW_BYTES / size, end - from);
    const window = await source.read(begin + from * size, length * size);
    const first = from;
    let next = Number.POSITIVE_INFINITY;
    forEachPlace(shape, strides, offset, count, (place, i) => {
      const at = place - first;
      if (at >= length) next = Math.min(next, place);
      else if (at >= 0) for (let k = 0; k < size; k++) result[i * size + k] = window[at * size + k]!;
    });
    from = next;
  }
  return result;
}

/** Calls `visit` with the place in the storage of each of `count` elements from `offset` on, and their numbers from 0. */
function forEachPlace(
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
  count: number,
  visit: (place: number, i: number) => void,
): void {
  const index = rowMajorStrides(shape).map((stride, axis) => Math.floor(offset / stride) % shape[axis]!);
  let place = index.reduce((sum, at, axis) => sum + at * strides[axis]!, 0);
  for (let i = 0; i < count; i++) {
    visit(place, i);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      place -= shape[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
}
