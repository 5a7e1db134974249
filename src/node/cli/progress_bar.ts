/** How far a long step has come: a line on stderr that is rewritten. */

import { printable } from "../terminal.ts";

type Stream = Pick<NodeJS.WriteStream, "isTTY" | "write">;

const NOBODY: Stream = { isTTY: false, write: () => true };

/**
 * Where bars are drawn: on stderr where that is a terminal, and nowhere with `--json`.
 * @param answers whether answers come on standard output: on a terminal they are progress enough, and a bar between them
 * would be in the way
 */
export function barsOn({ json, answers = false }: { readonly json: boolean; readonly answers?: boolean }): Stream {
  return json || (answers && process.stdout.isTTY) ? NOBODY : process.stderr;
}

/** A step of which it is known how much is done: a download, loading, hashing. */
export function progress(
  what: string,
  stream: Stream,
  now: () => number = () => performance.now(),
): { at(share: number): void; end(): void } {
  if (!stream.isTTY) return { at() {}, end() {} };
  const start = now();
  let first: number | undefined;
  let drawn = Number.NEGATIVE_INFINITY;
  return {
    at(share) {
      const time = now();
      first ??= share; // of a download that goes on, this was there before
      if (time - drawn < PACE && share < 1) return;
      drawn = time;
      const done = share - first;
      const left = done > 0 ? `  ETA ${durationText((((time - start) / 1000) * (1 - share)) / done)}` : "";
      stream.write(`\r${printable(what)}  ${percentBar(share)}${left}\u001b[K`);
    },
    end() {
      if (drawn !== Number.NEGATIVE_INFINITY) stream.write("\r\u001b[K");
    },
  };
}

export interface ProgressBar {
  /** @param share of the input that is dealt with, 0 to 1; 0 where that cannot be told */
  at(rows: number, share: number): void;
  /** Takes the line away. */
  end(): void;
}

/** Milliseconds between two looks of it. */
const PACE = 100;

const WIDTH = 24;

/**
 * Nothing where nobody would see it move.
 * @param begun rows and share that an earlier run dealt with: they do not count for the rate
 */
export function progressBar(
  begun: { rows: number; share: number } = { rows: 0, share: 0 },
  stream: Stream = process.stderr,
  now: () => number = () => performance.now(),
): ProgressBar {
  if (!stream.isTTY) return { at() {}, end() {} };
  const start = now();
  let drawn = Number.NEGATIVE_INFINITY;
  return {
    at(rows, share) {
      const time = now();
      if (time - drawn < PACE && share < 1) return;
      drawn = time;
      const seconds = (time - start) / 1000;
      const rate = seconds > 0 ? (rows - begun.rows) / seconds : 0;
      const parts = [`${count(rows)} rows`, `${rateText(rate)}/s`];
      const done = share - begun.share;
      if (share > 0) {
        parts.unshift(percentBar(share));
        if (done > 0) parts.push(`ETA ${durationText((seconds * (1 - share)) / done)}`);
      }
      stream.write(`\r${parts.join("  ")}\u001b[K`);
    },
    end() {
      if (drawn !== Number.NEGATIVE_INFINITY) stream.write("\r\u001b[K");
    },
  };
}

export function durationText(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export function rateText(rate: number): string {
  return rate < 10 ? rate.toFixed(1) : count(Math.round(rate));
}

const count = (value: number): string => value.toLocaleString("en");

function percentBar(share: number): string {
  const full = Math.round(share * WIDTH);
  return `${"█".repeat(full)}${"░".repeat(WIDTH - full)} ${String(Math.floor(share * 100)).padStart(3)}%`;
}
