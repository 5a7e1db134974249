import { expect, test } from "vitest";
import { napWhileWaiting } from "../../src/node/idle.ts";

const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

/** Milliseconds that ten turns of the event loop take. */
async function tenTurns(): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < 10; i++) await turn();
  return performance.now() - start;
}

test("sleeps on every turn while a wait lasts, and not after", async () => {
  const begin = napWhileWaiting(2);
  const end = begin();
  expect(await tenTurns()).toBeGreaterThan(14); // eight or more naps of 2 ms
  end();
  await turn();
  expect(await tenTurns()).toBeLessThan(5);
});

test("overlapping waits share one loop, and last until the last of them is over", async () => {
  const begin = napWhileWaiting(5);
  const ends = [begin(), begin(), begin()];
  const shared = await tenTurns();
  expect(shared).toBeGreaterThan(35);
  expect(shared).toBeLessThan(100); // three loops would sleep for 120 and more
  ends[0]!();
  ends[0]!(); // twice counts once
  ends[1]!();
  expect(await tenTurns()).toBeGreaterThan(35);
  ends[2]!();
  await turn();
  expect(await tenTurns()).toBeLessThan(5);
});

test("a wait that is over at once costs no nap", async () => {
  const begin = napWhileWaiting(50);
  const start = performance.now();
  const end = begin();
  await turn();
  end();
  await turn();
  await turn();
  expect(performance.now() - start).toBeLessThan(25);
});

test("timers run between the naps", async () => {
  const end = napWhileWaiting(1)();
  const start = performance.now();
  await new Promise((done) => setTimeout(done, 20));
  expect(performance.now() - start).toBeLessThan(60);
  end();
});
