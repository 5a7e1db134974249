/** The line that shows how training gets on. */

import { expect, test } from "vitest";
import { curve, trainingProgress } from "../../../src/node/cli/train/progress.ts";

const event = (step: number, loss: number) =>
  ({
    kind: "step",
    ...{ step, epoch: 0, loss, gradNorm: 1, learningRate: 5e-5, tokensPerSecond: 12345, skipped: 0, lossScale: 1 },
  }) as const;

test("has the step, the loss with its curve, the rate, and the time that is left", () => {
  const written: string[] = [];
  let time = 0;
  const stream = { isTTY: true, write: (text: string) => written.push(text) > 0 } as NodeJS.WriteStream;
  const progress = trainingProgress(100, 300, stream, () => time);
  progress.clear();
  expect(written).toEqual([]);
  time = 5000;
  progress.step(event(150, 0.9));
  time = 10000;
  progress.step(event(200, 0.2));
  progress.clear();
  expect(written).toEqual([
    "\rstep 150/300  loss 0.9000 ▁  lr 5.00e-5  12,345 tokens/s  ETA 0:15\u001b[K",
    "\rstep 200/300  loss 0.2000 █▁  lr 5.00e-5  12,345 tokens/s  ETA 0:10\u001b[K",
    "\r\u001b[K",
  ]);
});

test("is nothing where nobody would see it move", () => {
  const stream = { isTTY: false, write: () => expect.fail("nobody looks") } as unknown as NodeJS.WriteStream;
  const progress = trainingProgress(0, 10, stream);
  progress.step(event(1, 1));
  progress.clear();
});

test("a curve of many losses is of the means of neighbours", () => {
  expect(curve([3, 2, 1])).toBe("█▅▁");
  const many = curve(Array.from({ length: 1000 }, (_, i) => 1000 - i));
  expect(many).toHaveLength(20);
  expect([many[0], many.at(-1)]).toEqual(["█", "▁"]);
});
