/** How far a run over a file has come: a line on stderr that is rewritten. */

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
  stream: Pick<NodeJS.WriteStream, "isTTY" | "write"> = process.stderr,
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
        parts.unshift(`${bar(share)} ${String(Math.floor(share * 100)).padStart(3)}%`);
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

function bar(share: number): string {
  const full = Math.round(share * WIDTH);
  return `${"█".repeat(full)}${"░".repeat(WIDTH - full)}`;
}
