/** A folder on a web server, read by ranges: what browsers load models with. */
import { type ByteSource, bytesSource, type Folder, unsafePath } from "./bytes.ts";
import { latest } from "./latest.ts";
import { type Names, requireKnown } from "./options.ts";
import { HttpError, type RetryPolicy, reach, readBody, retrying, shownUrl, statusError } from "./request.ts";

export interface HttpOptions {
  /**
   * Keeps what was read, block by block. What is in it is not asked for again: for addresses whose content does not
   * change, such as those of a commit. When it is full, reading goes on without it.
   */
  readonly cache?: Pick<Cache, "match" | "put"> | undefined;
  /**
   * What the folder holds, where that is known: other files are not asked for. Without it a missing file costs a
   * request, and a line in the browser's console.
   */
  readonly files?: readonly string[] | undefined;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly fetch?: typeof globalThis.fetch | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly retry?: Pick<RetryPolicy, "tries" | "delay"> | undefined;
  /** The longest file, in bytes, that is held whole when its server does not serve ranges. Default 512 MiB. */
  readonly maxWhole?: number | undefined;
  /** The error for a response that is neither content nor 404; by default it says the status. */
  readonly refusal?: ((response: Response) => HttpError) | undefined;
}

/** What is asked of any folder of the web. */
export const READING: Names<Omit<HttpOptions, "headers" | "refusal">> = {
  cache: 1,
  files: 1,
  fetch: 1,
  signal: 1,
  retry: 1,
  maxWhole: 1,
};

/** Bytes per request. A configuration file comes with one, and a header of safetensors. */
const BLOCK = 4_194_304;

/** Blocks held in memory per file: tensors are not read in the order in which they lie, but near it. */
const KEPT_BLOCKS = 8;

/** Bytes of a file from the server, or from the cache. */
interface Part {
  readonly begin: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Of the whole file. */
  readonly total: number;
  /** ETag, where the server lets it be seen. */
  readonly tag: string | null;
}

/**
 * The files below an address. A file that answers 404 is not there; every other refusal is an error.
 * @param baseUrl of the folder; relative ones are taken from the page
 * @throws RangeError when it is not an http(s) address, or has a query or a password; TypeError for an unknown option
 */
export function httpFolder(baseUrl: string | URL, options: HttpOptions = {}): Folder {
  requireKnown("httpFolder", options, { ...READING, headers: 1, refusal: 1 });
  const base = new URL(baseUrl, globalThis.location?.href);
  if (!/^https?:$/.test(base.protocol) || base.username + base.password + base.search + base.hash !== "") {
    throw new RangeError(
      `${shownUrl(base.href)}: give an http or https address of a folder, without password, ? and #`,
    );
  }
  const root = base.href.replace(/\/*$/, "/");
  return {
    name: root.slice(0, -1),
    async open(path) {
      const reason = unsafePath(path);
      if (reason !== undefined) throw new Error(`${root}: path ${JSON.stringify(path)} is refused: ${reason}`);
      if (options.files && !options.files.includes(path)) return undefined;
      return openUrl(root + pathInUrl(path), options);
    },
  };
}

/** A relative path as part of an address. */
export function pathInUrl(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

async function openUrl(url: string, options: HttpOptions): Promise<ByteSource | undefined> {
  const first = await partOf(url, 0, options);
  if (first === null) return undefined;
  const size = first.total;
  // a server without ranges has sent everything
  if (first.bytes.byteLength === size) return bytesSource(url, first.bytes);

  const blocks = new Map<number, Promise<Uint8Array>>([[0, Promise.resolve(first.bytes)]]);

  const block = (index: number): Promise<Uint8Array> => latest(blocks, index, () => loadBlock(index), KEPT_BLOCKS);

  async function loadBlock(index: number): Promise<Uint8Array> {
    const begin = index * BLOCK;
    const wanted = Math.min(BLOCK, size - begin);
    const part = await partOf(url, begin, options, size);
    if (part === null || part.total !== size || part.tag !== first?.tag) {
      const now = part === null ? "is gone" : `has ${part.total} bytes and ETag ${part.tag}`;
      throw new Error(`${url}: it had ${size} bytes and ETag ${first?.tag}, and now ${now}: open it again`);
    }
    return part.bytes.subarray(begin - part.begin, begin - part.begin + wanted);
  }

  return {
    name: url,
    size,
    async read(offset, length) {
      if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
        throw new RangeError(`${url}: bytes ${offset}..${offset + length} asked, the file has ${size}`);
      }
      const [from, to] = [Math.floor(offset / BLOCK), Math.floor((offset + length - 1) / BLOCK)];
      if (from === to) return (await block(from)).subarray(offset - from * BLOCK, offset - from * BLOCK + length);
      const bytes = new Uint8Array(length);
      for (let index = from; index <= to; index++) {
        const skip = Math.max(0, offset - index * BLOCK);
        const rest = offset + length - index * BLOCK;
        bytes.set((await block(index)).subarray(skip, rest), index * BLOCK + skip - offset);
      }
      return bytes;
    },
    async close() {
      blocks.clear();
    },
  };
}

/** One block, or the whole file where the server does not serve ranges; `null` where there is no such file. */
async function partOf(url: string, begin: number, options: HttpOptions, size?: number): Promise<Part | null> {
  const { cache, retry, signal } = options;
  const cached = await cachedPart(url, begin, options);
  if (cached !== undefined) return cached;
  const part = await retrying(() => fetchPart(url, begin, options, size), { ...retry, signal });
  if (cache && (part !== null || begin === 0)) await keep(cache, url, part);
  return part;
}

async function fetchPart(url: string, begin: number, options: HttpOptions, size?: number): Promise<Part | null> {
  const { headers, fetch = globalThis.fetch, signal, maxWhole = 512 << 20 } = options;
  const range = `bytes=${begin}-${Math.min(begin + BLOCK, size ?? Number.POSITIVE_INFINITY) - 1}`;
  const response = await reach(fetch, url, { headers: { ...headers, range }, ...(signal && { signal }) });
  const { status } = response;
  if (status === 404) {
    // a body that is left or cancelled counts as a request that failed, and may keep the connection
    await readBody(response, BLOCK, url, signal).catch(() => {});
    return null;
  }
  const tag = response.headers.get("etag");
  if (status === 200) {
    const declared = Number(response.headers.get("content-length"));
    if (declared > maxWhole) {
      await response.body?.cancel();
      throw new RangeError(`${url}: ${declared} bytes from a server without ranges, at most ${maxWhole} are read`);
    }
    const bytes = await readBody(response, maxWhole, url, signal);
    return { begin: 0, bytes, total: bytes.byteLength, tag };
  }
  // no range of an empty file can be satisfied
  if (status === 416 && begin === 0) return { begin, bytes: new Uint8Array(), total: 0, tag };
  if (status !== 206) throw options.refusal?.(response) ?? statusError(response, url);
  const bytes = await readBody(response, BLOCK, url, signal);
  return { begin, bytes, total: totalOf(response, begin, bytes.byteLength, url, size), tag };
}

/** Bytes of the whole file, from a partial answer that is what was asked for. */
function totalOf(response: Response, begin: number, length: number, url: string, known: number | undefined): number {
  const shown = response.headers.get("content-range");
  // from another origin the header is seen only when the server allows it; a block that is not full is the last
  const total =
    shown === null ? (known ?? (length < BLOCK ? begin + length : undefined)) : Number(/\/(\d+)$/.exec(shown)?.[1]);
  if (total === undefined) {
    throw new HttpError(
      `${url}: its size is not known: the server must send Access-Control-Expose-Headers: Content-Range`,
      206,
    );
  }
  const end = Math.min(begin + BLOCK, total);
  const asked = `bytes ${begin}-${end - 1}/${total}`;
  if (shown !== null && shown !== asked) throw new HttpError(`${url}: ${asked} asked, the answer is ${shown}`, 206);
  if (length !== end - begin) throw new HttpError(`${url}: ${end - begin} bytes asked, ${length} came`, 0);
  return total;
}

/** Caches refuse partial answers, so that each block goes there as an answer of its own. */
const blockUrl = (url: string, begin: number): string => `${url}?block=${begin}-${begin + BLOCK - 1}`;

async function keep(cache: Pick<Cache, "put">, url: string, part: Part | null): Promise<void> {
  if (part === null) return cache.put(blockUrl(url, 0), new Response(null, { status: 404 })).catch(() => {});
  const { begin, bytes, total, tag } = part;
  for (let at = begin; at === begin || at < begin + bytes.byteLength; at += BLOCK) {
    const block = bytes.subarray(at - begin, at - begin + BLOCK);
    const headers = { "x-total": String(total), ...(tag !== null && { etag: tag }) };
    await cache.put(blockUrl(url, at), new Response(block, { headers })).catch(() => {}); // no room: then without
  }
}

async function cachedPart(url: string, begin: number, { cache }: HttpOptions): Promise<Part | null | undefined> {
  const found = await cache?.match(blockUrl(url, begin));
  if (found === undefined) return undefined;
  if (found.status === 404) return null;
  const bytes = new Uint8Array(await found.arrayBuffer());
  const total = Number(found.headers.get("x-total"));
  if (bytes.byteLength !== Math.min(BLOCK, total - begin)) return undefined;
  return { begin, bytes, total, tag: found.headers.get("etag") };
}
