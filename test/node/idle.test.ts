import { afterEach, expect, test, vi } from "vitest";
import { napWhileWaiting } from "../../src/node/idle.ts";

afterEach(() => vi.restoreAllMocks());

const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

/** Until the wait is old enough for naps. */
const awake = (): Promise<void> => new Promise((done) => setTimeout(done, 2));

/** Naps that ten turns of the event loop take. A nap takes no time here, so that a busy machine blurs nothing. */
async function tenTurns(): Promise<number> {
  const nap = vi.spyOn(Atomics, "wait").mockReturnValue("timed-out");
  for (let i = 0; i < 10; i++) await turn();
  const { length } = nap.mock.calls;
  nap.mockRestore();
  return length;
}

test("sleeps on every turn while a wait lasts, and not after", async () => {
  const end = napWhileWaiting(20)();
  await awake();
  const begin = performance.now();
  for (let i = 0; i < 10; i++) await turn();
  expect(performance.now() - begin).toBeGreaterThan(150);
  expect(await tenTurns()).toBeGreaterThanOrEqual(9);
  end();
  await turn();
  expect(await tenTurns()).toBe(0);
});

test("overlapping waits share one loop, and last until the last of them is over", async () => {
  const begin = napWhileWaiting(20);
  const ends = [begin(), begin(), begin()];
  await awake();
  const shared = await tenTurns();
  expect(shared).toBeGreaterThanOrEqual(9);
  expect(shared).toBeLessThanOrEqual(11); // three loops would sleep 30 times
  ends[0]!();
  ends[0]!(); // twice counts once
  ends[1]!();
  expect(await tenTurns()).toBeGreaterThanOrEqual(9);
  ends[2]!();
  await turn();
  expect(await tenTurns()).toBe(0);
});

test("a wait takes no nap before half a millisecond", async () => {
  const clock = vi.spyOn(performance, "now").mockReturnValue(1000);
  const end = napWhileWaiting(20)();
  clock.mockReturnValue(1000.4);
  expect(await tenTurns()).toBe(0);
  clock.mockReturnValue(1000.6);
  expect(await tenTurns()).toBeGreaterThanOrEqual(9);
  end();
});

test("timers run between the naps", async () => {
  const end = napWhileWaiting(1)();
  await new Promise((done) => setTimeout(done, 20));
  end();
});
