/** Semantic search: the vectors of a corpus that are nearest to a query, by one matmul on the GPU and the best of its rows. */

import { latest } from "../files/latest.ts";
import { requireKnown, requireList } from "../files/options.ts";
import type { Engine } from "./engine.ts";
import { DisposedError } from "./errors.ts";
import { linear, topK } from "./ops.ts";
import type { Program } from "./program.ts";
import { allocateTable, streamTable, type Table } from "./table.ts";

export interface SearchHit {
  /** Of the vector in the corpus, from 0. */
  readonly index: number;
  readonly score: number;
}

/** `cosine`: of the angle, 0 where a vector is zero. `dot`: as the vectors are, the same for those of length 1. */
export type SearchScore = "cosine" | "dot";

export interface IndexOptions {
  /** Default `cosine`. */
  readonly score?: SearchScore | undefined;
  /** Ends the upload with its reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface SearchOptions {
  /** Hits for each query; default 10, of a smaller corpus all. Made for small numbers: the time grows with it. */
  readonly topK?: number | undefined;
  /** Ends the search with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A corpus on the GPU, to be searched many times. */
export interface VectorIndex {
  /** Vectors. */
  readonly size: number;
  readonly dimensions: number;
  readonly score: SearchScore;
  /** On the GPU. */
  readonly bytes: number;
  /**
   * @returns per query its hits, best first; of equal scores, as f32 holds them, the lower index first
   * @throws RangeError for vectors of other dimensions or with values that are not finite, and for a topK below 1;
   * TypeError for an unknown option; DisposedError when the index is disposed, or its device was lost
   */
  search(queries: readonly ArrayLike<number>[], options?: SearchOptions): Promise<SearchHit[][]>;
  /** Frees its memory. Safe to call twice. */
  dispose(): void;
}

/** An engine, or a model that is loaded on one. */
export type SearchEngine = Engine | { readonly model: { readonly engine: Engine } };

/** Rows of a part: its scores for all queries of a run are 16 MiB. */
const PART_ROWS = 65_536;
const MOST_QUERIES = 64;
/** Values that are made ready at once. */
const BLOCK = 262_144;
const KEPT_PROGRAMS = 16;

/**
 * Puts a corpus on the GPU in f32: 4 bytes a value, in as many parts as bindings need.
 * @param vectors all as long, such as `embedText` gives them
 * @throws RangeError as `search`, and without vectors; GpuError where there is no memory for them
 */
export async function createIndex(
  on: SearchEngine,
  vectors: readonly ArrayLike<number>[],
  options: IndexOptions = {},
): Promise<VectorIndex> {
  requireKnown("createIndex", options, { score: 1, signal: 1 });
  const { score = "cosine", signal } = options;
  if (score !== "cosine" && score !== "dot") throw new RangeError(`no score "${score}"; there are cosine, dot`);
  requireVectors("corpus", vectors);
  const dimensions = vectors[0]?.length ?? 0;
  if (dimensions === 0) throw new RangeError("the corpus has no vectors, or they no dimensions");
  const unit = score === "cosine";
  const { length: size } = vectors;
  const engine = "model" in on ? on.model.engine : on;
  await engine.ready();
  const { generation } = engine;
  const allocation = engine.allocate();
  let table: Table;
  try {
    const fitting = Math.floor(allocation.mostBytes / (32 * dimensions)) * 8;
    table = allocateTable(allocation, "corpus", size, dimensions, "f32", Math.min(PART_ROWS, fitting));
    const step = Math.ceil(BLOCK / dimensions);
    const blocks = async function* (): AsyncGenerator<Float32Array<ArrayBuffer>> {
      for (let row = 0; row < size; row += step) {
        signal?.throwIfAborted();
        yield packed("corpus", vectors, [row, Math.min(size, row + step)], dimensions, unit);
      }
    };
    await streamTable(allocation, table, blocks());
    await allocation.done();
  } catch (error) {
    allocation.dispose();
    throw error;
  }

  const programs = new Map<string, Promise<Program>>();
  let disposed = false;

  /** @param rows queries of a run */
  function programFor(rows: number, k: number): Promise<Program> {
    const key = `${rows} ${k}`;
    const make = () =>
      engine.record(`search ${key}`, (r) => {
        const queries = r.input("queries", [rows, dimensions], "f32");
        for (const [i, part] of table.parts.entries()) {
          const own = part.shape[0]!;
          const weight = { rows: own, cols: dimensions, rowsPerPart: own, parts: [part] };
          const best = topK(r, linear(r, queries, { weight, bias: undefined }), Math.min(k, own));
          r.output(`values${i}`, best.values);
          r.output(`indices${i}`, best.indices);
        }
      });
    return latest(programs, key, make, KEPT_PROGRAMS);
  }

  return {
    size,
    dimensions,
    score,
    bytes: allocation.bytes,
    async search(queries, options = {}) {
      requireKnown("search", options, { topK: 1, signal: 1 });
      const { topK: asked = 10, signal } = options;
      if (!Number.isInteger(asked) || asked < 1) throw new RangeError(`topK is ${asked}, it must be an integer from 1`);
      requireVectors("queries", queries);
      if (disposed) throw new DisposedError("the index was disposed; create it again");
      await engine.ready();
      if (engine.generation !== generation) throw new DisposedError("the index went with its device; create it again");
      const k = Math.min(asked, size);
      const hits: SearchHit[][] = [];
      for (let begin = 0; begin < queries.length; begin += MOST_QUERIES) {
        signal?.throwIfAborted();
        const end = Math.min(queries.length, begin + MOST_QUERIES);
        const data = packed("query", queries, [begin, end], dimensions, unit);
        // few shapes to record: what is left of a run are zeros, which nobody looks at
        const rows = 2 ** Math.ceil(Math.log2(end - begin));
        const input = new Float32Array(rows * dimensions);
        input.set(data);
        const found = await (await programFor(rows, k)).run({ queries: input }, { signal });
        for (let row = 0; row < end - begin; row++) hits.push(merged(table, found, row, k));
      }
      return hits;
    },
    dispose() {
      disposed = true;
      programs.clear();
      allocation.dispose();
    },
  };
}

/**
 * The same for a corpus that is searched once.
 * @throws as `createIndex` and `search`
 */
export async function semanticSearch(
  on: SearchEngine,
  queries: readonly ArrayLike<number>[],
  corpus: readonly ArrayLike<number>[],
  options: IndexOptions & SearchOptions = {},
): Promise<SearchHit[][]> {
  requireKnown("semanticSearch", options, { topK: 1, score: 1, signal: 1 });
  const { score, topK, signal } = options;
  const index = await createIndex(on, corpus, { score, signal });
  try {
    return await index.search(queries, { topK, signal });
  } finally {
    index.dispose();
  }
}

/** A query's best of all parts. */
function merged(
  { parts, rowsPerPart }: Table,
  found: Readonly<Record<string, ArrayLike<number>>>,
  query: number,
  k: number,
): SearchHit[] {
  const hits = parts.flatMap(({ shape }, part) => {
    const own = Math.min(k, shape[0]!);
    const [values, indices] = [found[`values${part}`]!, found[`indices${part}`]!];
    return Array.from({ length: own }, (_, i) => ({
      index: part * rowsPerPart + indices[query * own + i]!,
      score: values[query * own + i]!,
    }));
  });
  return hits.sort((a, b) => b.score - a.score || a.index - b.index).slice(0, k);
}

function requireVectors(name: string, vectors: readonly ArrayLike<number>[]): void {
  requireList(name, vectors);
  if (typeof vectors[0] === "number") throw new TypeError(`${name} is one vector; give a list: [vector]`);
  if (typeof vectors[0] === "string") throw new TypeError(`${name} are texts; give their vectors, of embedText`);
}

/** Rows `begin` to `end` in f32, scaled to length 1 in float64 where that is asked. */
function packed(
  name: string,
  vectors: readonly ArrayLike<number>[],
  [begin, end]: readonly [begin: number, end: number],
  dimensions: number,
  unit: boolean,
): Float32Array<ArrayBuffer> {
  const data = new Float32Array((end - begin) * dimensions);
  for (let i = begin; i < end; i++) {
    const vector = vectors[i]!;
    if (vector.length !== dimensions) {
      throw new RangeError(`${name} ${i} has ${vector.length} dimensions, the first of the corpus ${dimensions}`);
    }
    let squares = 0;
    for (let j = 0; j < dimensions; j++) squares += vector[j]! ** 2;
    if (!Number.isFinite(squares)) throw new RangeError(`${name} ${i} has a value that is not finite`);
    const scale = unit && squares > 0 ? 1 / Math.sqrt(squares) : 1;
    for (let j = 0; j < dimensions; j++) data[(i - begin) * dimensions + j] = vector[j]! * scale;
  }
  return data;
}
