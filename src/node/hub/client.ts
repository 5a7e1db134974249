/**
 * Requests to the hub: retried while that helps, redirected by hand, so that the token stays with the hub. A redirect may
 * lead to another origin, as those of mirrors and to CDNs do: the token is not sent there, nor to the hub again when
 * another has sent us back; and what began on https does not go on without.
 */

import {
  HttpError,
  isTransient,
  type RetryPolicy,
  reach,
  retrying,
  shownUrl,
  statusError,
} from "../../files/request.ts";

export interface HubConnection {
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly fetch: typeof fetch;
  readonly signal: AbortSignal | undefined;
  readonly retry: Pick<RetryPolicy, "tries" | "delay">;
  /** Milliseconds without an answer, or without a byte of it, after which a connection is taken for dead. */
  readonly patience: number;
}

export interface HubRequest {
  readonly method?: "GET" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  /** How far to follow redirects: to the content, or until the hub has named the commit. Default content. */
  readonly to?: "content" | "commit";
  /** Statuses besides 2xx that the caller can use. */
  readonly accept?: readonly number[];
  /** The error for a refusal by the hub itself. */
  readonly refusal?: (response: Response) => HttpError;
}

export interface HubAnswer {
  readonly response: Response;
  /** Where it came from in the end. */
  readonly url: string;
  /** What the hub said of the file before it sent us elsewhere. Quotes and weakness marks are gone from the ETag. */
  readonly linked: { readonly commit?: string; readonly etag?: string; readonly size?: number };
}

const MOST_REDIRECTS = 10;
/** Bytes per second, over the patience: slower ones would keep us for weeks. */
const SLOWEST = 1000;
const REDIRECTS = [301, 302, 303, 307, 308];

/** @throws HttpError when retries do not help, or the server refuses */
export function send(hub: HubConnection, url: string, request: HubRequest = {}): Promise<HubAnswer> {
  return retrying(() => sendOnce(hub, url, request), { ...hub.retry, signal: hub.signal });
}

async function sendOnce(hub: HubConnection, url: string, request: HubRequest): Promise<HubAnswer> {
  const { method = "GET", to = "content", accept = [], refusal } = request;
  const home = new URL(hub.endpoint);
  let linked: HubAnswer["linked"] = {};
  let [from, at] = [home, new URL(url)];
  const begun = at.origin === home.origin;
  let own = begun;
  for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
    if (from.protocol === "https:" && at.protocol === "http:") {
      throw new HttpError(
        `${shownUrl(from.href)}: sent on to ${at.origin}, which is not https: it is not followed`,
        302,
      );
    }
    own &&= at.origin === home.origin;
    const headers = {
      // what arrives must be the file's own bytes, which are counted and hashed
      "accept-encoding": "identity",
      "user-agent": "bert-webgpu",
      ...request.headers,
      ...(own && hub.token !== undefined && { authorization: `Bearer ${hub.token}` }),
    };
    const response = await answerTo(hub, at.href, { method, headers, redirect: "manual" });
    // a mirror may leave it to another to say what the file is; from then on the others only have its bytes
    const speaks = own || (begun && linked.commit === undefined);
    if (speaks) linked = { ...linkedOf(response.headers), ...linked };
    const next = nextUrl(response, at);
    if (next === undefined || (to === "commit" && linked.commit !== undefined)) {
      if (response.ok || next !== undefined || accept.includes(response.status))
        return { response, url: at.href, linked };
      await response.body?.cancel();
      const error = statusError(response, at.href);
      if (!own && speaks && [401, 403].includes(error.status)) {
        throw new HttpError(
          `${error.message}; ${home.origin} has sent us there, where its token is not sent: set HF_ENDPOINT to ${at.origin}`,
          error.status,
        );
      }
      throw (speaks && !isTransient(error) && refusal?.(response)) || error;
    }
    await response.body?.cancel();
    [from, at] = [at, next];
  }
  throw new HttpError(`${shownUrl(url)}: more than ${MOST_REDIRECTS} redirects`, 302);
}

/** The headers of an answer, within the patience. */
async function answerTo({ fetch, signal, patience }: HubConnection, url: string, init: RequestInit): Promise<Response> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), patience);
  try {
    return await reach(fetch, url, { ...init, signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal });
  } catch (error) {
    if (!late.signal.aborted || signal?.aborted) throw error;
    throw new HttpError(`${shownUrl(url)}: no answer within ${patience / 1000} s`, 0, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function nextUrl({ status, headers }: Response, at: URL): URL | undefined {
  const location = headers.get("location");
  if (!REDIRECTS.includes(status) || location === null) return undefined;
  const next = URL.canParse(location, at.href) ? new URL(location, at) : undefined;
  if (next && /^https?:$/.test(next.protocol) && !next.username && !next.password) return next;
  throw new HttpError(`${shownUrl(at.href)}: redirected to what is no http address, or has a password`, status);
}

function linkedOf(headers: Headers): HubAnswer["linked"] {
  const commit = headers.get("x-repo-commit");
  if (commit === null) return {}; // not about a file, such as a redirect to a repository's new name
  const etag = headers.get("x-linked-etag") ?? headers.get("etag");
  const size = headers.get("x-linked-size");
  return {
    commit,
    ...(etag !== null && { etag: etag.replace(/^W\//, "").replaceAll('"', "") }),
    ...(size !== null && { size: Number(size) }),
  };
}

/**
 * The bytes of an answer as they come.
 * @throws HttpError of status 0 when the connection breaks, or is silent, or slower than SLOWEST, for longer than the patience
 */
export async function* bytesOf({ response, url }: HubAnswer, hub: HubConnection): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  let silent = false;
  let [waited, came] = [0, 0];
  const watchdog = setTimeout(() => {
    silent = true;
    reader.cancel().catch(() => {}); // ends the read that waits
  }, hub.patience);
  try {
    for (;;) {
      watchdog.refresh();
      const asked = performance.now();
      const next = await reader.read().catch((error: unknown) => {
        if (hub.signal?.aborted) throw hub.signal.reason;
        throw new HttpError(`${shownUrl(url)}: the connection broke: ${causeOf(error)}`, 0, { cause: error });
      });
      if (silent) throw new HttpError(`${shownUrl(url)}: not a byte for ${hub.patience / 1000} s`, 0);
      if (next.done) return;
      // only the waiting counts: a slow disk is not the connection's fault
      waited += performance.now() - asked;
      came += next.value.byteLength;
      if (waited >= hub.patience) {
        if (came * 1000 < waited * SLOWEST) {
          const seconds = (waited / 1000).toFixed(1);
          throw new HttpError(
            `${shownUrl(url)}: ${came} bytes in ${seconds} s, at least ${SLOWEST} are expected a second`,
            0,
          );
        }
        [waited, came] = [0, 0];
      }
      yield next.value;
    }
  } finally {
    clearTimeout(watchdog);
    await reader.cancel().catch(() => {});
  }
}

function causeOf(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? cause.message : message;
}
