import { expect, test } from "vitest";
import { napWhileWaiting } from "../../src/node/idle.ts";

const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

/** Until the wait is old enough for naps. */
const awake = (): Promise<void> => new Promise((done) => setTimeout(done, 2));

/** Milliseconds that ten turns of the event loop take. */
async function tenTurns(): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < 10; i++) await turn();
  return performance.now() - start;
}

// Naps are long here, so that a busy machine does not blur what is told apart.
test("sleeps on every turn while a wait lasts, and not after", async () => {
  const end = napWhileWaiting(20)();
  await awake();
  expect(await tenTurns()).toBeGreaterThan(150);
  end();
  await turn();
  expect(await tenTurns()).toBeLessThan(100);
});

test("overlapping waits share one loop, and last until the last of them is over", async () => {
  const begin = napWhileWaiting(20);
  const ends = [begin(), begin(), begin()];
  await awake();
  const shared = await tenTurns();
  expect(shared).toBeGreaterThan(150);
  expect(shared).toBeLessThan(450); // three loops would sleep for 540 and more
  ends[0]!();
  ends[0]!(); // twice counts once
  ends[1]!();
  expect(await tenTurns()).toBeGreaterThan(150);
  ends[2]!();
  await turn();
  expect(await tenTurns()).toBeLessThan(100);
});

test("a wait that is soon over costs no nap", async () => {
  const begin = napWhileWaiting(100);
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    const end = begin();
    await turn();
    end();
    await turn();
    times.push(performance.now() - start);
  }
  expect(Math.min(...times)).toBeLessThan(50);
});

test("timers run between the naps", async () => {
  const end = napWhileWaiting(1)();
  await new Promise((done) => setTimeout(done, 20));
  end();
});
