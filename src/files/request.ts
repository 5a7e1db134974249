/** HTTP requests: what a failure is called, which failures pass by themselves, and how long to wait for that. */

import { requireKnown } from "./options.ts";

/** A server refused, broke off, or could not be reached. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  /** HTTP status; 0 when there was no answer, or not all of it. */
  readonly status: number;
  /** What the server's `Retry-After` asks for, in milliseconds. */
  readonly retryAfter: number | undefined;

  constructor(message: string, status: number, more: { retryAfter?: number | undefined; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.status = status;
    this.retryAfter = more.retryAfter;
  }
}

export interface RetryPolicy {
  /** Tries in all. Default 5. */
  readonly tries?: number | undefined;
  /** Pause before the second try, in milliseconds; it doubles from try to try. Default 250. */
  readonly delay?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Timeouts, too many requests, and servers that are down or restarting. */
const TRANSIENT = [0, 408, 429, 500, 502, 503, 504];

/** Milliseconds. Whoever is told to wait longer had better be told so. */
const LONGEST_PAUSE = 60_000;

/** Whether the same request may well succeed a little later. */
export function isTransient(error: unknown): error is HttpError {
  return error instanceof HttpError && TRANSIENT.includes(error.status);
}

/**
 * Repeats `work` while its failures are transient, with growing pauses, or those that the server asks for.
 * @throws the last failure; at once any other, and one that asks for more than a minute
 */
export async function retrying<T>(work: () => Promise<T>, policy: RetryPolicy = {}): Promise<T> {
  requireKnown("retry", policy, { tries: 1, delay: 1, signal: 1 });
  const { tries = 5, delay = 250, signal } = policy;
  for (let n = 1; ; n++) {
    try {
      return await work();
    } catch (error) {
      if (!isTransient(error) || n >= tries) throw error;
      const { retryAfter = 0, status, message } = error;
      if (retryAfter > LONGEST_PAUSE) {
        const seconds = Math.ceil(retryAfter / 1000);
        throw new HttpError(`${message}; it asks to wait for ${seconds} s: try again then`, status, { cause: error });
      }
      // spread, so that clients turned away together do not return together
      await pause(Math.max(retryAfter, delay * 2 ** (n - 1) * (0.75 + Math.random() / 2)), signal);
    }
  }
}

/** @throws the signal's reason, as soon as it is aborted */
export async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/**
 * `fetch`, with an HttpError of status 0 where no answer comes. From https to http, to which only Node follows a redirect,
 * is an error. @throws the signal's reason when it is aborted
 */
export async function reach(fetch: typeof globalThis.fetch, url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init).catch((error: unknown) => {
    throw noAnswer(error, url, init.signal ?? undefined);
  });
  if (!/^https:.* http:/.test(`${url} ${response.url}`)) return response;
  await response.body?.cancel();
  throw new HttpError(`${shownUrl(url)}: sent on to ${shownUrl(response.url)}, which is not https`, 302);
}

/**
 * The whole body.
 * @param most bytes
 * @throws HttpError of status 0 when it breaks off, RangeError when it is longer than `most`
 */
export async function readBody(
  response: Response,
  most: number,
  url: string,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = response.body?.getReader();
  for (;;) {
    const next = await reader?.read().catch((error: unknown) => {
      throw noAnswer(error, url, signal);
    });
    if (next === undefined || next.done) break;
    size += next.value.byteLength;
    if (size > most) {
      await reader?.cancel();
      throw new RangeError(`${shownUrl(url)}: more than ${most} bytes, which is the most that is taken here`);
    }
    chunks.push(next.value);
  }
  const body = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.byteLength;
  }
  return body;
}

/** The error for a response that is none of those the caller can use. */
export function statusError({ status, statusText, headers }: Response, url: string): HttpError {
  const retryAfter = parseRetryAfter(headers.get("retry-after"));
  return new HttpError(`${shownUrl(url)}: the server answers ${`${status} ${statusText ?? ""}`.trim()}`, status, {
    retryAfter,
  });
}

/** For messages: without the query, which may hold a signature, and without a password. */
export function shownUrl(url: string): string {
  return url.replace(/[?#].*$/s, "").replace(/\/\/[^/]*@/, "//");
}

/** Milliseconds from now; the header gives seconds, or a date. */
function parseRetryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const milliseconds = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(milliseconds) ? undefined : Math.max(0, milliseconds);
}

function noAnswer(error: unknown, url: string, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason;
  // fetch says "fetch failed", and keeps what matters in the cause
  const { cause } = error as { cause?: unknown };
  const reason = [cause, error].find((e) => e instanceof Error && e.message !== "") as Error | undefined;
  // which may repeat the address
  const told = (reason?.message ?? String(error)).replaceAll(url, shownUrl(url));
  return new HttpError(`${shownUrl(url)}: no answer, or not all of it: ${told}`, 0, { cause: error });
}
