/** Folders over HTTP, as browsers read them: by ranges, with the Cache API, and the hub's models through both. */

import { describe, expect, test } from "vitest";
import { readText } from "../../src/files/bytes.ts";
import { type HttpOptions, httpFolder } from "../../src/files/http.ts";
import { type HubFolderOptions, hubFolder } from "../../src/files/hub.ts";
import { CONFIG, FILES, noise, useHub, wholeFile } from "./hub_fixture.ts";

const at = useHub();

/** As much of the Cache API as is used, with its refusal of partial answers. */
class MemoryCache {
  readonly entries = new Map<string, Response>();
  full = false;
  async match(request: RequestInfo | URL): Promise<Response | undefined> {
    return this.entries.get(String(request))?.clone();
  }
  async put(request: RequestInfo | URL, response: Response): Promise<void> {
    if (response.status === 206) throw new TypeError("a partial answer cannot be kept");
    if (this.full) throw new DOMException("no room", "QuotaExceededError");
    this.entries.set(String(request), response);
  }
}

const BLOCK = 4 << 20;
const LONG = Buffer.alloc(2 * BLOCK + 1000, noise(10_007, 5)); // a prime: no two blocks are alike
const slice = (begin: number, length: number): Buffer => LONG.subarray(begin, begin + length);
const retry = { delay: 5 };

/** A folder with a long file that this server sends itself, not by the CDN. */
const serve = (files = {}) => {
  const { name, commit } = at.fresh({
    "config.json": CONFIG,
    "a b/ü.json": "[]",
    "empty.txt": "",
    "long.txt": LONG,
    ...files,
  });
  const base = `${at.hub.endpoint}/${name}/resolve/${commit}/`;
  return { name, commit, base, folder: (options: HttpOptions = {}) => httpFolder(base, { retry, ...options }) };
};

/** The hub, with another list of files in its description of a model. */
const listing =
  (siblings: unknown): typeof fetch =>
  async (url, init) => {
    const response = await fetch(url, init);
    if (!String(url).includes("/api/models/")) return response;
    return Response.json({ ...((await response.json()) as object), siblings });
  };

describe("a folder over HTTP", () => {
  test("gives short files with one request, and undefined for what is not there", async () => {
    const folder = serve().folder();
    expect(await readText(folder, "config.json")).toBe(CONFIG);
    expect(at.hub.bodies("config.json").map(({ range }) => range)).toEqual([`bytes=0-${BLOCK - 1}`]);
    expect(await readText(folder, "a b/ü.json")).toBe("[]");
    expect(await readText(folder, "empty.txt")).toBe("");
    expect(await folder.open("none.json")).toBeUndefined();
    expect(folder.name).toMatch(/^http.*[0-9a-f]{40}$/);
  });

  test("asks for nothing but the files that it is said to hold", async () => {
    const folder = serve().folder({ files: ["config.json"] });
    at.hub.seen.length = 0;
    expect(await folder.open("empty.txt")).toBeUndefined();
    expect(at.hub.seen).toEqual([]);
    expect(await readText(folder, "config.json")).toBe(CONFIG);
  });

  test("reads long ones by blocks, each once, wherever a slice begins", async () => {
    const source = (await serve().folder().open("long.txt"))!;
    expect(source.size).toBe(LONG.length);
    for (const [offset, length] of [
      [0, 10],
      [BLOCK - 5, 10],
      [BLOCK, BLOCK],
      [5, 2 * BLOCK],
      [LONG.length - 7, 7],
      [LONG.length, 0],
    ] as const) {
      const bytes = await source.read(offset, length);
      expect(Buffer.compare(bytes, slice(offset, length)), `${offset}`).toBe(0);
    }
    const last = `bytes=${2 * BLOCK}-${LONG.length - 1}`;
    const ranges = at.hub.bodies("long.txt").map(({ range }) => range);
    expect(ranges).toEqual([`bytes=0-${BLOCK - 1}`, `bytes=${BLOCK}-${2 * BLOCK - 1}`, last]);
    await expect(source.read(LONG.length - 1, 2)).rejects.toThrow(/the file has 8389608/);
    await expect(source.read(-1, 1)).rejects.toThrow(RangeError);
    await source.close();
    await source.close();
  });

  test("slices that are asked for at once share a request", async () => {
    const source = (await serve().folder().open("long.txt"))!;
    await Promise.all([1, 2, 3].map((offset) => source.read(BLOCK + offset, 4)));
    expect(at.hub.bodies("long.txt").length).toBe(2);
  });

  test("takes the whole file from a server without ranges, up to a limit", async () => {
    const { folder } = serve();
    at.hub.fault = () => ({ ignoreRange: true });
    expect(Buffer.compare((await wholeFile(folder(), "long.txt"))!, LONG)).toBe(0);
    expect(at.hub.bodies("long.txt").length).toBe(1);
    const small = folder({ maxWhole: 1000 }).open("long.txt");
    await expect(small).rejects.toThrow(/8389608 bytes from a server without ranges, at most 1000 are read/);
    const unannounced = folder({ maxWhole: 1000, fetch: async () => new Response(new Uint8Array(1001)) });
    await expect(unannounced.open("long.txt")).rejects.toThrow(/more than 1000 bytes/);
  });

  test("keeps what it read, and reads it again without a network", async () => {
    const cache = new MemoryCache();
    const { folder } = serve();
    await wholeFile(folder({ cache }), "long.txt");
    await readText(folder({ cache }), "config.json");
    await folder({ cache }).open("none.json");
    const cut = folder({ cache, fetch: () => Promise.reject(new TypeError("no network")), retry: { tries: 1 } });
    expect(Buffer.compare((await wholeFile(cut, "long.txt"))!, LONG)).toBe(0);
    expect(await readText(cut, "config.json")).toBe(CONFIG);
    expect(await cut.open("none.json")).toBeUndefined();
    await expect(cut.open("empty.txt")).rejects.toThrow(/no answer, or not all of it: no network/);
  });

  test("keeps whole files as well, and goes on where the cache is full", async () => {
    const cache = new MemoryCache();
    const { folder } = serve();
    at.hub.fault = () => ({ ignoreRange: true });
    await wholeFile(folder({ cache }), "long.txt");
    expect(cache.entries.size).toBe(3);
    expect(Buffer.compare((await wholeFile(folder({ cache }), "long.txt"))!, LONG)).toBe(0);
    expect(at.hub.bodies("long.txt").length).toBe(1);
    cache.full = true;
    expect(await readText(folder({ cache }), "config.json")).toBe(CONFIG);
  });

  test("notices a file that changes while it is read", async () => {
    const { folder } = serve();
    const source = (await folder().open("long.txt"))!;
    at.hub.fault = () => ({ headers: { etag: '"another"' } });
    await expect(source.read(BLOCK, 1)).rejects.toThrow(
      /it had 8389608 bytes .* now has 8389608 bytes and ETag "another"/,
    );
    at.hub.fault = () => ({ headers: { "content-range": `bytes ${BLOCK}-${2 * BLOCK - 1}/9999999` } });
    await expect(source.read(BLOCK, 1)).rejects.toThrow(/now has 9999999 bytes/);
    at.hub.fault = () => ({ headers: { "content-range": "bytes 0-5/8389608" } });
    await expect(source.read(BLOCK, 1)).rejects.toThrow(/asked, the answer is bytes 0-5/);
    at.hub.fault = () => undefined;
    expect(Buffer.compare(await source.read(BLOCK, 1), slice(BLOCK, 1))).toBe(0);
  });

  test("without a visible Content-Range knows the size of short files, and says what the server must do for others", async () => {
    const { folder } = serve();
    const fetch: HttpOptions["fetch"] = async (url, init) => {
      const response = await globalThis.fetch(url, init);
      const headers = new Headers(response.headers);
      headers.delete("content-range");
      return new Response(response.body, { status: response.status, headers });
    };
    expect(await readText(folder({ fetch }), "config.json")).toBe(CONFIG);
    await expect(folder({ fetch }).open("long.txt")).rejects.toThrow(/Access-Control-Expose-Headers: Content-Range/);
  });

  test("tries again what fails for a moment, and says what does not", async () => {
    const { folder } = serve();
    const busy = [
      { status: 503 },
      { status: 429, headers: { "retry-after": "0" } },
      { stop: { after: 5, how: "cut" as const } },
    ];
    at.hub.fault = ({ path }) => (path.includes("/resolve-cache/") ? busy.shift() : undefined);
    expect(await readText(folder(), "config.json")).toBe(CONFIG);
    at.hub.fault = () => ({ status: 403 });
    await expect(folder().open("config.json")).rejects.toThrow(/the server answers 403/);
    const stopped = folder({ signal: AbortSignal.abort(new Error("enough")) });
    await expect(stopped.open("config.json")).rejects.toThrow("enough");
  });

  test.each(["../x", "a//b", "/etc/passwd", "%2e%2e/x", "a\\b", "http://x", ""])(
    "refuses the path %j",
    async (path) => {
      await expect(serve().folder().open(path)).rejects.toThrow(/is refused: it/);
      expect(at.hub.seen).toEqual([]);
    },
  );

  test.each(["file:///etc/", "https://x/?a=1", "https://x/#a"])("refuses the address %j", (base) => {
    expect(() => httpFolder(base)).toThrow(/give an http or https address/);
  });
});

describe("a model of the hub over HTTP", () => {
  const open = (name: string, options: HubFolderOptions = {}) =>
    hubFolder(name, { endpoint: `${at.hub.endpoint}/`, retry, ...options });

  test("is read from the commit that its revision is at", async () => {
    const { name, commit } = at.fresh();
    const folder = open(name);
    expect(folder.name).toBe(name);
    expect(await readText(folder, "config.json")).toBe(CONFIG);
    at.hub.commit(name, { ...FILES, "config.json": "moved", "tokenizer.json": "moved" });
    expect(await readText(folder, "tokenizer.json")).toBe(FILES["tokenizer.json"]);
    expect(await wholeFile(folder, "model.safetensors")).toHaveLength(300_000);
    expect(await folder.open("none")).toBeUndefined();
    expect(at.hub.seen.filter(({ path }) => path.includes("/revision/")).length).toBe(1);
    at.hub.seen.length = 0;
    expect(await readText(open(name, { revision: commit }), "config.json")).toBe(CONFIG);
    expect(at.hub.seen.filter(({ path }) => path.includes("/revision/"))).toEqual([]);
  });

  test("is not asked for files that its list has not", async () => {
    const { name } = at.fresh();
    const folder = open(name);
    expect(await readText(folder, "config.json")).toBe(CONFIG);
    at.hub.seen.length = 0;
    expect(await folder.open("modules.json")).toBeUndefined();
    expect(at.hub.seen).toEqual([]);
    await expect(folder.open("../config.json")).rejects.toThrow(/is refused/);
    const fewer = open(name, { files: ["config.json"] }); // the caller's own list goes first
    expect(await fewer.open("tokenizer.json")).toBeUndefined();
    const odd = open(name, { fetch: listing([{ rfilename: 1 }]) }); // a list that is none: then ask
    expect(await readText(odd, "config.json")).toBe(CONFIG);
  });

  test("sends its token to the hub alone", async () => {
    const { name } = at.fresh();
    at.hub.repo(name).token = "hf_right";
    await wholeFile(open(name, { token: "hf_right" }), "model.safetensors");
    const sent = (server: string): unknown[] => [
      ...new Set(at.hub.seen.filter((one) => one.server === server).map(({ authorization }) => authorization)),
    ];
    expect(sent("hub")).toEqual(["Bearer hf_right"]);
    expect(sent("cdn")).toEqual([undefined]);
    await expect(open(name).open("config.json")).rejects.toThrow(/no such public model \(401\)/);
  });

  test("says what a refusal means, and tries again later", async () => {
    const { name } = at.fresh();
    at.hub.repo(name).gated = true;
    const folder = open(name);
    await expect(folder.open("config.json")).rejects.toThrow(/accept its licence at/);
    at.hub.repo(name).gated = false;
    expect(await readText(folder, "config.json")).toBe(CONFIG);
    const late = open("acme/late");
    await expect(late.open("config.json")).rejects.toThrow(/no such public model/);
    at.hub.commit("acme/late", FILES);
    expect(await readText(late, "config.json")).toBe(CONFIG);
    await expect(open(name, { revision: "v9" }).open("x")).rejects.toThrow(/no revision "v9"/);
    const page = open(name, { fetch: async () => new Response("<html>") });
    await expect(page.open("config.json")).rejects.toThrow(/the answer names no commit: is http.* a hub/);
    expect(() => open("acme/..")).toThrow(/not the name of a model/);
  });

  test("is read again from the cache when there is no network", async () => {
    const { name } = at.fresh();
    const cache = new MemoryCache();
    await wholeFile(open(name, { cache }), "model.safetensors");
    const cut = open(name, { cache, fetch: () => Promise.reject(new TypeError("no network")), retry: { tries: 1 } });
    expect(await wholeFile(cut, "model.safetensors")).toHaveLength(300_000);
    const other = open("acme/other", { fetch: () => Promise.reject(new TypeError("no network")), retry: { tries: 1 } });
    await expect(other.open("config.json")).rejects.toThrow(/no network/);
  });
});
