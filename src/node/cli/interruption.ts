/** Ctrl-C, and what else asks a process to end: it ends in good order, or at once when asked twice. */

import { constants } from "node:os";

/** Milliseconds. Whoever starts us, as npx does, may pass on a Ctrl-C that the terminal has sent us already. */
const ECHO = 500;

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** While it lasts, the first Ctrl-C aborts the signal; another one ends the process where it stands. */
export function catchInterruption(): { readonly signal: AbortSignal; exitCode(): number; end(): void } {
  const controller = new AbortController();
  const usual = SIGNALS.map((name) => process.listeners(name));
  let code = 0;
  let since = 0;
  const stop = (name: NodeJS.Signals): void => {
    if (code !== 0) {
      if (performance.now() - since > ECHO) process.exit(code);
      return;
    }
    since = performance.now();
    code = 128 + constants.signals[name];
    controller.abort();
  };
  for (const name of SIGNALS) process.removeAllListeners(name).on(name, stop);
  return {
    signal: controller.signal,
    exitCode: () => code,
    end() {
      SIGNALS.forEach((name, i) => {
        process.off(name, stop);
        for (const listener of usual[i]!) process.on(name, listener);
      });
    },
  };
}
