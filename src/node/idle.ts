/** Leaves the processor to a software adapter while Node waits for it. */

import type { IdleHook } from "../runtime/device.ts";

/**
 * While the GPU is awaited, Dawn's Node binding polls it on every turn of the event loop, and with an adapter that
 * computes on the CPU takes a core away from it. The hook sleeps `milliseconds` on every turn for as long as any
 * wait lasts: 1.4 to 1.9 times less wall time on two cores. Timers and I/O still run between the turns.
 */
export function napWhileWaiting(milliseconds: number = 1): IdleHook {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  let waits = 0;
  let turning = false;
  const turn = (): void => {
    if (waits === 0) {
      turning = false;
      return;
    }
    Atomics.wait(cell, 0, 0, milliseconds);
    setImmediate(turn);
  };
  return () => {
    waits++;
    if (!turning) {
      turning = true;
      // The first turn is Dawn's alone: a result that is there already, such as a small read-back, costs no nap.
      setImmediate(() => setImmediate(turn));
    }
    let over = false;
    return () => {
      if (!over) waits--;
      over = true;
    };
  };
}
