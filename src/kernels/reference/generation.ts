/** CPU twins of a step of decoding. Rows that stand empty stay as they are. */

import type { ChooseBeamsShape, ChooseTokensShape, SampleShape, TokenRulesShape } from "../generation/choice.ts";
import type { OneQueryShape, StepShape } from "../generation/decoding.ts";
import { philox } from "./backward.ts";
import { softmaxOf } from "./rows.ts";
import { type Inputs, type Outputs, outputOf, slice, sum, valuesOf } from "./values.ts";

/** In place of a source: its rows stand empty. */
export const NOBODY = 0xffffffff;
const NO_NUMBER = 0xffffffff;
/** The lowest f32, of what may not be. */
const LOWEST = -3.4028234e38;

/** @param visit is called for every row that does not stand empty */
function eachRow(
  { rows, width }: Pick<StepShape, "rows" | "width">,
  inputs: Inputs,
  visit: (row: number, slot: number, source: number) => void,
): void {
  const batch = valuesOf(inputs, "batch");
  for (let row = 0; row < rows; row++) {
    const source = batch[Math.floor(row / width)]!;
    if (source !== NOBODY) visit(row, source * width + (row % width), source);
  }
}

export function stepTokens(shape: StepShape, inputs: Inputs): Outputs {
  const { rows, capacity, step = 0 } = shape;
  const tokens = valuesOf(inputs, "tokens");
  const ids = new Float64Array(rows);
  eachRow(shape, inputs, (row, slot) => {
    ids[row] = tokens[slot * capacity + step]!;
  });
  return { ids, out: Float64Array.from([...ids].flatMap((id) => [id, 0, step, 1])) };
}

/** Of one query: keys and values begin at these elements. */
function attend(query: Float64Array, from: ArrayLike<number>, starts: readonly number[], values: number): Float64Array {
  const dim = query.length;
  const scores = Float64Array.from(
    starts,
    (start) => query.reduce((total, value, d) => total + value * from[start + d]!, 0) / Math.sqrt(dim),
  );
  const weights = softmaxOf(scores);
  return Float64Array.from({ length: dim }, (_, d) => sum(starts.map((at, i) => weights[i]! * from[at + values + d]!)));
}

export function cachedAttention(shape: OneQueryShape, inputs: Inputs): Outputs {
  const { rows, heads, headDim, capacity, step = 0 } = shape;
  const hidden = heads * headDim;
  const [qkv, chains] = [valuesOf(inputs, "qkv"), valuesOf(inputs, "chains")];
  const cache = Float64Array.from(valuesOf(inputs, "cache"));
  const out = outputOf(inputs, rows * hidden);
  eachRow(shape, inputs, (row, slot) => {
    cache.set(slice(qkv, row * 3 * hidden + hidden, 2 * hidden), (slot * capacity + step) * 2 * hidden);
  });
  eachRow(shape, inputs, (row, slot) => {
    for (let head = 0; head < heads; head++) {
      const column = head * headDim;
      const starts = Array.from(
        { length: step + 1 },
        (_, key) => (chains[slot * capacity + key]! * capacity + key) * 2 * hidden + column,
      );
      out.set(attend(slice(qkv, row * 3 * hidden + column, headDim), cache, starts, hidden), row * hidden + column);
    }
  });
  return { out, cache };
}

export function sourceAttention(shape: Omit<OneQueryShape, "capacity" | "step">, inputs: Inputs): Outputs {
  const { rows, heads, headDim } = shape;
  const hidden = heads * headDim;
  const [q, keyValue, begins] = ["q", "key_value", "cu_seqlens"].map((name) => valuesOf(inputs, name));
  const out = outputOf(inputs, rows * hidden);
  eachRow(shape, inputs, (row, _, source) => {
    for (let column = 0; column < hidden; column += headDim) {
      const starts: number[] = [];
      for (let key = begins![source]!; key < begins![source + 1]!; key++) starts.push(key * 2 * hidden + column);
      out.set(attend(slice(q!, row * hidden + column, headDim), keyValue!, starts, hidden), row * hidden + column);
    }
  });
  return { out };
}

export function tokenRules(shape: TokenRulesShape, inputs: Inputs): Outputs {
  const { rows, vocab, capacity, step = 0, ngram, sourceNgram, forcedBegin = 0, forcedEnd = 0 } = shape;
  const [logits, chains, tokens] = ["logits", "chains", "tokens"].map((name) => valuesOf(inputs, name));
  const [sourceIds, begins, lists] = ["source_ids", "cu_seqlens", "lists"].map((name) => valuesOf(inputs, name));
  const scores = outputOf(inputs, rows * vocab, "scores");
  eachRow(shape, inputs, (row, slot, source) => {
    const own = slice(logits!, row * vocab, vocab);
    if (shape.log) {
      const greatest = own.reduce((a, b) => Math.max(a, b));
      const shift = greatest + Math.log(sum(own.map((value) => Math.exp(value - greatest))));
      for (const [i, value] of own.entries()) own[i] = value - shift;
    }
    const ids = Array.from({ length: step + 1 }, (_, at) => tokens![chains![slot * capacity + at]! * capacity + at]!);
    const endsWith = (start: ArrayLike<number>): boolean =>
      start.length <= ids.length && Array.from(start).every((id, i) => ids[ids.length - start.length + i] === id);
    const forbid = (id: number): void => {
      own[id] = LOWEST;
    };
    const forbidAgain = (text: readonly number[], n: number): void => {
      for (let at = 0; n > 0 && at + n <= text.length; at++) {
        if (endsWith(text.slice(at, at + n - 1))) forbid(text[at + n - 1]!);
      }
    };
    if (forcedEnd > forcedBegin) {
      own.fill(LOWEST);
      for (let i = forcedBegin; i < forcedEnd; i++) own[lists![i]!] = 0;
    } else {
      for (const id of new Set(ids)) own[id]! *= own[id]! < 0 ? shape.penalty : 1 / shape.penalty;
      forbidAgain(ids, ngram);
      forbidAgain([...slice(sourceIds!, begins![source]!, begins![source + 1]! - begins![source]!)], sourceNgram);
      let at = shape.words;
      for (let word = 0; word < shape.wordCount; word++) {
        const size = lists![at]!;
        const word = slice(lists!, at + 1, size);
        if (size <= ids.length && endsWith(word.subarray(0, -1))) forbid(word.at(-1)!);
        at += size + 1;
      }
      if (ids.length < shape.least) for (let i = 0; i < shape.ends; i++) forbid(lists![i]!);
    }
    scores.set(own, row * vocab);
  });
  return { scores };
}

export function sampleKeys(shape: SampleShape, inputs: Inputs): Outputs {
  const { vocab, temperature, topK, topP, seed, step = 0 } = shape;
  const names = valuesOf(inputs, "names");
  const scores = Float64Array.from(valuesOf(inputs, "scores"));
  eachRow(shape, inputs, (row, slot) => {
    const own = scores.subarray(row * vocab, (row + 1) * vocab);
    const warped = own.map((score) => (score > LOWEST ? Math.fround(score / temperature) : Number.NEGATIVE_INFINITY));
    const sorted = [...warped].sort((a, b) => b - a);
    const bound = topK > 0 ? sorted[Math.min(topK, vocab) - 1]! : Number.NEGATIVE_INFINITY;
    const left = warped.map((score) => (score >= bound ? score : Number.NEGATIVE_INFINITY));
    const probabilities = softmaxOf(left);
    for (const [i, score] of left.entries()) {
      // of no higher ones: it goes where these are no more than 1 - topP
      const below = sum(probabilities.filter((_, j) => left[j]! <= score));
      const kept = score > Number.NEGATIVE_INFINITY && (topP >= 1 || below > 1 - topP || score === sorted[0]);
      const drawn = philox([Math.floor(i / 4), names[slot]!, step, 0], [seed, 0x67756d62])[i % 4]!;
      own[i] = kept ? score - Math.log(-Math.log(((drawn >>> 9) + 0.5) / 2 ** 23)) : LOWEST;
    }
  });
  return { scores };
}

export function chooseTokens(shape: ChooseTokensShape, inputs: Inputs): Outputs {
  const { capacity, ends, pad, step = 0 } = shape;
  const [values, indices, lists] = ["values", "indices", "lists"].map((name) => valuesOf(inputs, name));
  const tokens = Float64Array.from(valuesOf(inputs, "tokens"));
  const lengths = Float64Array.from(valuesOf(inputs, "lengths"));
  eachRow(shape, inputs, (row, slot) => {
    const token = lengths[slot] === 0 ? indices![row]! : pad;
    tokens[slot * capacity + step + 1] = token;
    if (lengths[slot] !== 0) return;
    if (Array.from(lists!).slice(0, ends).includes(token)) lengths[slot] = step + 2;
    if (Number.isNaN(values![row])) lengths[slot] = NO_NUMBER;
  });
  return { tokens, lengths };
}

interface Finished {
  readonly score: number;
  readonly length: number;
  readonly last: number;
  readonly chain: Float64Array;
}

export function chooseBeams(shape: ChooseBeamsShape, inputs: Inputs): Outputs {
  const { rows, width, slots, capacity, candidates, stops, last = false, step = 0, divisor = 1, reach = 1 } = shape;
  const [values, indices, lists, batch] = ["values", "indices", "lists", "batch"].map((name) => valuesOf(inputs, name));
  const ends = Array.from(lists!).slice(0, shape.ends);
  const [tokens, chains, sums, ended] = ["tokens", "chains", "sums", "ended"].map((name) =>
    Float64Array.from(valuesOf(inputs, name)),
  ) as [Float64Array, Float64Array, Float64Array, Float64Array];
  for (let row = 0; row < rows; row += width) {
    const source = batch![row / width]!;
    if (source === NOBODY) continue;
    const first = source * width;
    const chainOf = (slot: number): Float64Array => slice(chains, slot * capacity, step + 1);
    const beams = Array.from({ length: width }, (_, b) => ({ sum: sums[first + b]!, chain: chainOf(first + b) }));
    let finished: Finished[] = beams
      .map((_, b) => ({
        score: sums[slots + first + b]!,
        length: ended[first + b]!,
        last: ended[slots + first + b]!,
        chain: chainOf(slots + first + b),
      }))
      .filter(({ length }) => length > 0);
    const closed = ended[2 * slots + source] !== 0 || (finished.length === width && stops);
    const all = beams.flatMap(({ sum, chain }, b) =>
      Array.from({ length: candidates }, (_, i) => {
        const at = (row + b) * candidates + i;
        return { sum: sum + values![at]!, token: indices![at]!, chain };
      }),
    );
    const wrong = all.some(({ sum }) => Number.isNaN(sum));
    const best = all.sort((a, b) => b.sum - a.sum).slice(0, candidates);
    const isEnd = ({ token }: { token: number }): boolean => last || ends.includes(token);
    const going = best.filter((one) => !isEnd(one)).slice(0, width);
    for (const one of closed ? [] : best.slice(0, width).filter(isEnd)) {
      finished.push({ score: one.sum / divisor, length: step + 2, last: one.token, chain: one.chain });
    }
    finished = finished.sort((a, b) => b.score - a.score).slice(0, width);
    for (let b = 0; b < width; b++) {
      const [beam, slot] = [going[b], first + b];
      sums[slot] = beam?.sum ?? -1e9;
      const own = slot * capacity + step + 1;
      tokens[own] = beam?.token ?? tokens[own - 1]!;
      chains.set(beam?.chain ?? beams[b]!.chain, slot * capacity);
      chains[own] = slot;
      const done = finished[b];
      if (!done) continue;
      sums[slots + slot] = done.score;
      ended[slot] = done.length;
      ended[slots + slot] = done.last;
      chains.set(done.chain, (slots + slot) * capacity);
    }
    const full = finished.length === width;
    const hopeless = full && (going[0]?.sum ?? 0) / reach <= finished[width - 1]!.score;
    if (hopeless || (full && stops) || last) ended[2 * slots + source] = 1;
    if (wrong) ended[2 * slots + source] = NO_NUMBER;
  }
  return { tokens, chains, sums, ended };
}
