/** Parquet from others: an answer, or an error that names the file, and soon. */

import { expect, test } from "vitest";
import { openParquet, watchman } from "../../../src/node/data/parquet.ts";
import { random } from "../../support.ts";
import { mutated, soundFiles } from "./mutated_parquet.ts";
import { scratch } from "./scratch.ts";

const file = scratch();

const MUTATIONS = 240;
/** Milliseconds that this process computes meanwhile, for two files at most: the machine may have others to serve. */
const MOST = 6000;

function stopwatch(): () => number {
  const begin = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(begin);
    return (user + system) / 1000;
  };
}

async function readAll(path: string): Promise<number> {
  let count = 0;
  for await (const _ of (await openParquet(path)).rows()) count++;
  return count;
}

/** One whose last dictionary indices are a run of 2^31 - 1 values. */
function countsForEver(): Uint8Array {
  const bytes = soundFiles()[3]!;
  const run = Buffer.from(bytes).lastIndexOf(Buffer.from([19, 170, 170, 170]));
  expect(run).toBeGreaterThan(0);
  bytes.set([0xfe, 0xff, 0xff, 0xff, 0x0f], run);
  return bytes;
}

test("files as they should be are read whole", async () => {
  for (const [i, bytes] of soundFiles().entries()) expect(await readAll(await file(`${i}.parquet`, bytes))).toBe(700);
});

test("a count of 2^31 is not counted to the end", async () => {
  const path = await file("run.parquet", countsForEver());
  const spent = stopwatch();
  await expect(readAll(path)).rejects.toThrow(/run\.parquet: (nothing of it was decoded for|more than \d+ MB)/);
  expect(spent()).toBeLessThan(MOST);
});

test("it is computing without a sign of life that ends it, not waiting for the processor", () => {
  const asked = (computes: number, beats: (tick: number) => number, ticks: number): string | undefined => {
    const verdict = watchman(500);
    for (let tick = 0; tick < ticks; tick++) {
      const why = verdict(beats(tick), tick * computes, tick * 500);
      if (why) return `${why}, tick ${tick}`;
    }
    return undefined;
  };
  expect(asked(490, () => 1, 100)).toBe("nothing of it was decoded for 500 ms, tick 1");
  expect(asked(500, (tick) => tick + 1, 100)).toBe("no row came for 10000 ms, tick 21");
  expect(asked(5, () => 1, 80)).toBeUndefined(); // starved for 40 s
  expect(asked(50, (tick) => tick + 1, 200)).toBeUndefined();
  expect(asked(0, () => 1, 1000)).toBe("nothing of it was decoded for 500 ms, tick 109");
});

test("whoever waits for a row is told when the table is closed", async () => {
  const table = await openParquet(await file("closed.parquet", countsForEver()));
  const rows = table.rows()[Symbol.asyncIterator]();
  const waiting = (async () => {
    while (!(await rows.next()).done);
  })();
  const told = expect(waiting).rejects.toThrow("closed.parquet: its reading was ended");
  await new Promise((done) => setTimeout(done, 150));
  await table.close();
  await told;
});

test("a footer and row groups that differ are not believed", async () => {
  const bytes = soundFiles()[0]!;
  // num_rows is zigzag: 700 is 1400, as a varint f8 0a; the footer's own comes first
  const at = Buffer.from(bytes).lastIndexOf(Buffer.from([0x16, 0xf8, 0x0a]));
  expect(at).toBeGreaterThan(0);
  bytes[at + 1] = 0xfa;
  await expect(readAll(await file("count.parquet", bytes))).rejects.toThrow(
    /count\.parquet: .*footer counts 701 rows, its row groups have 700/,
  );
});

test(`${MUTATIONS} mutated files: rows, or an error that names the file`, async () => {
  const sound = soundFiles();
  let next = 0;
  const reader = async (): Promise<void> => {
    while (next < MUTATIONS) {
      const seed = next++;
      const path = await file(`${seed % 8}-of-many.parquet`, mutated(sound[seed % sound.length]!, random(seed)));
      const spent = stopwatch();
      const fault = await readAll(path).then(
        () => undefined,
        (error: Error) => error.message,
      );
      if (fault !== undefined) expect(fault.startsWith(`${path}: `), `seed ${seed}: ${fault}`).toBe(true);
      expect(spent(), `seed ${seed}`).toBeLessThan(MOST);
    }
  };
  await Promise.all([reader(), reader()]);
}, 300_000);
