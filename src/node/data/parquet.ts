/** Parquet files, decoded in a thread of their own (`parquet_worker.ts`), which is ended when it does not get on. */

import { readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import type { ParquetAnswer, ParquetEnd, ParquetOpened, ParquetRequest, ParquetSlice } from "./parquet_worker.ts";
import type { DataTable, Row } from "./rows.ts";

/** Milliseconds of computing without a sign of life: at least one such span, at most two; and one more for so many bytes of the file. */
const SPAN = 500;
const BYTES_PER_MS = 8000;

/** Spans without a row, though there are signs of life. */
const MOST_SPANS = 20;

/** Spans of the clock that count as one of computing: a machine may have others to serve. */
const MOST_STARVED = 120;

/** Milliseconds, in which Linux counts. */
const TICK = 10;

/** MB of heap: so many for any file, and so many for each MB of it, as text may be packed well. */
const HEAP = 512;
const HEAP_PER_MB = 16;
const MOST_HEAP = 4096;

/** The bundle beside this one; from source, the one that was built. */
const WORKER = new URL(
  import.meta.url.endsWith(".ts") ? "../../../dist/node/parquet_worker.js" : "./parquet_worker.js",
  import.meta.url,
);

/**
 * @param wanted the columns to be decoded; all where it is left out. Those that the file lacks are passed over.
 * @throws Error when it is no Parquet file, or one that takes more time or memory than a file of its size may
 */
export async function openParquet(path: string, wanted?: readonly string[]): Promise<DataTable> {
  if (path === "-") throw new Error("Parquet is read from its end: give a file, standard input cannot be sought");
  const thread = startThread(path, (await stat(path)).size, wanted);
  try {
    const { columns, columnsRead, total } = await thread.answer<ParquetOpened>();
    return {
      name: path,
      columns,
      async *rows(): AsyncGenerator<Row> {
        try {
          for (;;) {
            const slice = await thread.ask<ParquetSlice | ParquetEnd>();
            if (slice.is === "end") return;
            for (let row = 0; row < slice.count; row++) {
              const number = slice.begin + row + 1;
              const place = { number, share: number / total };
              const bad = slice.bad.get(row);
              const cells = columnsRead.map((column, i) => [column, slice.cells[i]![row]] as const);
              if (bad === undefined) yield { ...place, values: Object.fromEntries(cells) };
              else yield { ...place, fault: `column ${JSON.stringify(bad)} is not UTF-8` };
            }
          }
        } catch (error) {
          throw new Error(`${path}: ${(error as Error).message}`, { cause: error });
        } finally {
          await thread.end();
        }
      },
      close: () => thread.end(),
    };
  } catch (error) {
    await thread.end();
    throw new Error(`${path}: not a Parquet file that can be read (${(error as Error).message})`, { cause: error });
  }
}

/**
 * Tells a thread that does not get on from one that does not get the processor: it is the time it computes that counts,
 * and only where it says nothing for very long that of the clock.
 * @param span milliseconds
 * @returns what is asked once a span: from signs of life, computing time and clock to what is wrong, if it is
 */
export function watchman(span: number): (beats: number, computed: number, clock: number) => string | undefined {
  let seen = -1;
  let last = { computed: 0, clock: 0 };
  let begun: number | undefined;
  return (beats, computed, clock) => {
    begun ??= computed;
    if (beats !== seen) last = { computed, clock };
    seen = beats;
    const idle = Math.max(computed - last.computed, (clock - last.clock) / MOST_STARVED);
    // a tick of the system's count less is a span as well
    if (idle > 0.9 * span) return `nothing of it was decoded for ${Math.round(span)} ms`;
    if (computed - begun > MOST_SPANS * span) return `no row came for ${Math.round(MOST_SPANS * span)} ms`;
    return undefined;
  };
}

/** Milliseconds of a thread, where the system tells them; else those of all of them. */
function computed(thread: number): number {
  try {
    const [, fields] = /^.*\) (.*)$/s.exec(readFileSync(`/proc/self/task/${thread}/stat`, "utf8"))!;
    const [user, system] = fields!.split(" ").slice(11, 13).map(Number);
    return (user! + system!) * TICK;
  } catch {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  }
}

interface Thread {
  /** What it says next. @throws Error when it fails, is silent for too long, or was ended */
  answer<Answer extends ParquetAnswer>(): Promise<Answer>;
  /** Has it go on. */
  ask<Answer extends ParquetAnswer>(): Promise<Answer>;
  /** Whoever waits for an answer is told. Safe to call twice. */
  end(): Promise<void>;
}

function startThread(path: string, size: number, wanted: readonly string[] | undefined): Thread {
  const pulse = new Int32Array(new SharedArrayBuffer(8));
  const span = SPAN + size / BYTES_PER_MS;
  const heap = Math.min(MOST_HEAP, HEAP + (HEAP_PER_MB * size) / 2 ** 20);
  const worker = new Worker(WORKER, {
    workerData: { path, wanted, pulse } satisfies ParquetRequest,
    resourceLimits: { maxOldGenerationSizeMb: Math.ceil(heap) },
    // what it is started with is for this process, such as an inspector, or a loader of tests
    execArgv: [],
    env: {},
  });
  let settle: { resolve(answer: ParquetAnswer): void; reject(error: Error): void } | undefined;
  let failure: Error | undefined;
  const fail = (error: Error): void => {
    failure ??= error;
    settle?.reject(failure);
    void worker.terminate();
  };
  const outOfMemory = `more than ${Math.ceil(heap)} MB to decode it, too much for a file of ${size} bytes`;
  worker.on("message", (answer: ParquetAnswer) => settle?.resolve(answer));
  worker.on("messageerror", fail);
  worker.on("error", (error: NodeJS.ErrnoException) => {
    fail(error.code === "ERR_WORKER_OUT_OF_MEMORY" ? new Error(outOfMemory, { cause: error }) : error);
  });
  worker.on("exit", () => fail(new Error("its reading was ended")));

  const answer = async <Answer extends ParquetAnswer>(): Promise<Answer> => {
    if (failure) throw failure;
    const verdict = watchman(span);
    const watch = setInterval(() => {
      const beats = Atomics.load(pulse, 0);
      const why = beats > 0 ? verdict(beats, computed(Atomics.load(pulse, 1)), performance.now()) : undefined;
      if (why) fail(new Error(`${why}: ${size} bytes that are damaged, or made to stop their reader`));
    }, span);
    worker.ref();
    try {
      const given = await new Promise<ParquetAnswer>((resolve, reject) => {
        settle = { resolve, reject };
      });
      if (given.is === "failed") throw new Error(given.reason);
      return given as Answer;
    } finally {
      settle = undefined;
      clearInterval(watch);
      worker.unref();
    }
  };
  return {
    answer,
    ask() {
      worker.postMessage("next");
      return answer();
    },
    async end() {
      await worker.terminate();
    },
  };
}
