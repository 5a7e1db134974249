/** Leaves the processor to a software adapter while Node waits for it. */

import type { IdleHook } from "../runtime/device.ts";

/** Milliseconds without a nap at the start of a wait, so that a small read-back does not take a nap longer. */
const AWAKE = 0.5;

/**
 * While the GPU is awaited, Dawn's Node binding polls it on every turn of the event loop, and so takes a core away from
 * an adapter that computes on the CPU. The hook sleeps `milliseconds` on every turn for as long as any wait lasts: 1.4
 * to 2.2 times less wall time on two cores. Timers and I/O still run between the turns.
 */
export function napWhileWaiting(milliseconds: number = 1): IdleHook {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  let waits = 0;
  let since = 0;
  let turning = false;
  const turn = (): void => {
    if (waits === 0) {
      turning = false;
      return;
    }
    if (performance.now() - since > AWAKE) Atomics.wait(cell, 0, 0, milliseconds);
    setImmediate(turn);
  };
  return () => {
    if (waits++ === 0) since = performance.now();
    if (!turning) {
      turning = true;
      setImmediate(turn);
    }
    let over = false;
    return () => {
      if (!over) waits--;
      over = true;
    };
  };
}
