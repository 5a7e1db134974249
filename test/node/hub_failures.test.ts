/** What goes wrong between the hub and the cache: refusals, broken connections, wrong bytes, hostile answers. */

import { existsSync } from "node:fs";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { bytesOf, send } from "../../src/node/hub/client.ts";
import { CONFIG, FILES, noise, useHub, WEIGHTS, wholeFile } from "./hub_fixture.ts";
import { etagOf, type Fault, type SeenRequest } from "./hub_server.ts";

const at = useHub();
const { fresh, resolve, repoDir, warnings } = at;

const ETAG = etagOf("model.safetensors", WEIGHTS);
const blobOf = (name: string, etag = ETAG): string => join(repoDir(name), "blobs", etag);
const ranges = (file = "model.safetensors"): (string | undefined)[] => at.hub.bodies(file).map(({ range }) => range);

/** Faults of the requests for the weights' content, one after the other. */
function faults(...list: (Fault | undefined)[]): void {
  at.hub.fault = ({ server }) => (server === "cdn" ? list.shift() : undefined);
}

describe("refusals say what to do", () => {
  test("401: not public, or not there", async () => {
    const { name } = fresh();
    at.hub.repo(name).token = "hf_right";
    await expect(resolve(name)).rejects.toThrow(/no such public model \(401\): check the name; .*set HF_TOKEN/);
    await expect(resolve("acme/no-such")).rejects.toThrow(/no such public model \(401\)/);
    await expect(resolve(name, { token: "hf_wrong" })).rejects.toThrow(/there is no such model at http.* \(404\)/);
    await resolve(name, { token: " hf_right\n" });
    at.hub.fault = () => ({ status: 401 });
    await expect(resolve("acme/x", { token: "hf_secret" })).rejects.toThrow(/token is not accepted \(401\)/);
    await expect(resolve("acme/x", { token: "hf_secret" })).rejects.not.toThrow(/hf_secret/);
  });

  test("403: the licence", async () => {
    const { name } = fresh();
    at.hub.repo(name).gated = true;
    await expect(resolve(name)).rejects.toThrow(
      `${name}: it is gated (403): accept its licence at ${at.hub.endpoint}/${name}, then set HF_TOKEN`,
    );
    await expect(resolve(name, { token: "hf_a" })).rejects.toThrow(
      /accept its licence .* with the account of your token/,
    );
  });

  test("404: the revision", async () => {
    const { name } = fresh();
    await expect(resolve(`${name}@v9`)).rejects.toThrow(/there is no revision "v9" \(404\): see http.*\/tree\/main/);
  });

  test("are final: none is repeated", async () => {
    await expect(resolve("acme/no-such")).rejects.toThrow();
    expect(at.hub.seen.length).toBe(1);
  });
});

describe("the token", () => {
  test("goes to the hub, and never to another host", async () => {
    const { name } = fresh();
    at.hub.repo(name).token = "hf_right";
    await resolve(name, { token: "hf_right" });
    const sent = (server: SeenRequest["server"]): Set<string | undefined> =>
      new Set(at.hub.seen.filter((one) => one.server === server).map(({ authorization }) => authorization));
    expect(sent("hub")).toEqual(new Set(["Bearer hf_right"]));
    expect(sent("cdn")).toEqual(new Set([undefined]));
  });

  test("does not follow a list of files that goes on elsewhere", async () => {
    const { name } = fresh();
    at.hub.fault = ({ path }) =>
      path.includes("/tree/") ? { headers: { link: `<${at.hub.cdn}/next>; rel="next"` } } : undefined;
    await expect(resolve(name, { token: "hf_right" })).rejects.toThrow(/\/next: the server answers 404/);
    expect(at.hub.seen.at(-1)).toMatchObject({ server: "cdn", authorization: undefined });
  });
});

describe("servers in trouble", () => {
  test("429: what Retry-After asks for is waited", async () => {
    const { name } = fresh();
    const busy = [{ status: 429, headers: { "retry-after": "1" } }];
    at.hub.fault = () => busy.shift();
    const begin = performance.now();
    await resolve(name);
    expect(performance.now() - begin).toBeGreaterThan(990);
  });

  test("429: too long is said, not waited", async () => {
    at.hub.fault = () => ({ status: 429, headers: { "retry-after": "3600" } });
    await expect(resolve("acme/tiny")).rejects.toThrow(/429.*asks to wait for 3600 s: try again then/);
    const date = new Date(Date.now() + 7_200_000).toUTCString();
    at.hub.fault = () => ({ status: 429, headers: { "retry-after": date } });
    await expect(resolve("acme/tiny")).rejects.toThrow(/wait for 7(19\d|200) s/);
    expect(at.hub.seen.length).toBe(2);
  });

  test("5xx: five tries", async () => {
    const { name } = fresh();
    at.hub.fault = () => ({ status: 502 });
    await expect(resolve(name)).rejects.toThrow(/the server answers 502/);
    expect(at.hub.seen.length).toBe(5);
  });

  test.each([
    [{ status: 302, headers: { location: "/acme/model-0/resolve/main/config.json" } }, /more than 10 redirects/],
    [{ status: 302, headers: { location: "file:///etc/passwd" } }, /redirected to what is no http address/],
    [{ status: 200 }, /names no commit \(X-Repo-Commit\): is http.* a hub/],
    [{ status: 200, headers: { "x-repo-commit": "../../x" } }, /names no commit/],
  ] satisfies [Fault, RegExp][])("an answer %j is no hub's", async (fault, message) => {
    at.hub.fault = () => fault;
    await expect(resolve("acme/model-0", { signal: AbortSignal.timeout(9000) })).rejects.toThrow(message);
  });
});

describe("a broken connection", () => {
  test("is taken up where it broke, as often as it takes", async () => {
    const { name } = fresh();
    faults({ stop: { after: 100_000, how: "cut" } }, { stop: { after: 50_000, how: "cut" } });
    const folder = await resolve(name);
    expect(ranges()).toEqual([undefined, "bytes=100000-", "bytes=150000-"]);
    expect(Buffer.compare((await wholeFile(folder, "model.safetensors"))!, WEIGHTS)).toBe(0);
  });

  test("is given up after five without progress; the next run goes on from there", async () => {
    const { name } = fresh();
    faults(...Array.from({ length: 5 }, () => ({ stop: { after: 1000, how: "cut" as const } })));
    await expect(resolve(name)).rejects.toThrow(/5000 of 300000 bytes are kept: run it again to go on/);
    expect((await stat(`${blobOf(name)}.incomplete`)).size).toBe(5000);
    expect(existsSync(join(repoDir(name), "refs"))).toBe(false);
    at.hub.seen.length = 0;
    await resolve(name);
    expect(ranges()).toEqual(["bytes=5000-"]);
    expect(existsSync(`${blobOf(name)}.incomplete`)).toBe(false);
  });

  test("is resumed from a server without ranges by beginning anew", async () => {
    const { name } = fresh();
    faults({ stop: { after: 100_000, how: "cut" } }, { ignoreRange: true });
    const folder = await resolve(name);
    expect(Buffer.compare((await wholeFile(folder, "model.safetensors"))!, WEIGHTS)).toBe(0);
  });

  test("that says nothing is given up, before its answer and within", async () => {
    const { name, commit } = fresh();
    const connection = {
      ...{ endpoint: at.hub.endpoint, token: undefined, fetch, signal: undefined },
      ...{ retry: { tries: 1 }, patience: 200 },
    };
    faults({ stop: { after: 10, how: "hang" } });
    const answer = await send(connection, `${at.hub.endpoint}/${name}/resolve/${commit}/model.safetensors`);
    let size = 0;
    const reading = (async () => {
      for await (const bytes of bytesOf(answer, connection)) size += bytes.byteLength;
    })();
    await expect(reading).rejects.toThrow(/not a byte for 0\.2 s/);
    expect(size).toBe(10);
    const mute: typeof fetch = (_, init) =>
      new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)));
    await expect(send({ ...connection, fetch: mute }, "http://127.0.0.1:9/")).rejects.toThrow(
      /no answer within 0\.2 s/,
    );
  });

  test("to the CDN is renewed at the hub, whose addresses expire", async () => {
    const { name } = fresh();
    faults({ stop: { after: 1000, how: "cut" } });
    await resolve(name);
    expect(at.hub.seen.filter(({ path }) => path.endsWith("/resolve/main/model.safetensors")).length).toBe(0);
    expect(at.hub.seen.filter(({ path }) => /\/resolve\/[0-9a-f]{40}\/model\.safetensors$/.test(path)).length).toBe(2);
  });
});

describe("wrong bytes", () => {
  test("once: fetched again, with a warning", async () => {
    const { name } = fresh();
    faults({ corrupt: true });
    const folder = await resolve(name);
    expect(warnings).toEqual([expect.stringMatching(/model\.safetensors: .* their sha256 is .* fetching it again/)]);
    expect(Buffer.compare((await wholeFile(folder, "model.safetensors"))!, WEIGHTS)).toBe(0);
  });

  test("twice: an error, and no blob", async () => {
    const { name } = fresh();
    faults({ corrupt: true }, { corrupt: true });
    await expect(resolve(name)).rejects.toThrow(/their sha256 is [0-9a-f]{64}, not [0-9a-f]{64}; twice/);
    expect((await readdir(join(repoDir(name), "blobs"))).filter((blob) => blob.startsWith(ETAG))).toEqual([]);
    expect(existsSync(join(repoDir(name), "refs"))).toBe(false);
  });

  test("of small files are noticed by git's hash", async () => {
    const { name } = fresh();
    at.hub.fault = ({ file, path }) =>
      file === "config.json" && /resolve-cache/.test(path) ? { corrupt: true } : undefined;
    await expect(resolve(name)).rejects.toThrow(/config\.json: .* their git-sha1 is .*; twice/);
    expect(existsSync(blobOf(name, etagOf("config.json", Buffer.from(CONFIG))))).toBe(false);
  });

  test("in a part that was here already are thrown away", async () => {
    const { name } = fresh();
    await mkdir(join(repoDir(name), "blobs"), { recursive: true });
    await writeFile(`${blobOf(name)}.incomplete`, noise(200_000, 9));
    await resolve(name);
    expect(warnings).toEqual([expect.stringMatching(/a part was here from an earlier time; fetching it again/)]);
    expect(ranges()).toEqual(["bytes=200000-", undefined]);
  });

  test("beyond the file's size are thrown away: those here, and those that come", async () => {
    const { name } = fresh();
    await mkdir(join(repoDir(name), "blobs"), { recursive: true });
    await writeFile(`${blobOf(name)}.incomplete`, noise(300_001, 9));
    await resolve(name);
    expect(ranges()).toEqual([undefined]);
    const { name: other } = fresh();
    faults({ surplus: 5 });
    await expect(resolve(other)).rejects.toThrow(/more than its 300000 bytes came; nothing was kept/);
    expect(existsSync(blobOf(other))).toBe(false);
  });

  test.each([
    [{ "x-linked-etag": `"${"0".repeat(64)}"` }, /list has it as .*, its answer as "0{64}"/],
    [{ "x-linked-size": "7" }, /list gives 300000 bytes, its answer 7/],
  ])("announced by %j are not taken", async (headers, message) => {
    const { name } = fresh();
    at.hub.fault = ({ file, server }) => (server === "hub" && file === "model.safetensors" ? { headers } : undefined);
    await expect(resolve(name)).rejects.toThrow(message);
    expect(existsSync(blobOf(name))).toBe(false);
  });

  test("are not taken for the file when a server refuses to go on: it begins anew", async () => {
    const { name } = fresh();
    faults({ stop: { after: 1000, how: "cut" } }, { status: 416 });
    await resolve(name);
    expect(ranges()).toEqual([undefined, "bytes=1000-", undefined]);
  });

  test("of another range than asked are not taken", async () => {
    const { name } = fresh();
    faults({ stop: { after: 1000, how: "cut" } }, { headers: { "content-range": "bytes 0-298999/300000" } });
    await expect(resolve(name)).rejects.toThrow(/bytes 1000-299999\/300000 asked, the answer is "bytes 0-298999/);
  });
});

describe("hostile answers", () => {
  test.each(["../config.json", "/etc/passwd", "a\\b", "C:\\x", "x\0", "%2e%2e/x", 7])(
    "an index that names %j is refused",
    async (shard) => {
      const { "model.safetensors": _, ...rest } = FILES;
      const index = JSON.stringify({ weight_map: { a: shard } });
      const { name } = fresh({ ...rest, "model.safetensors.index.json": index });
      await expect(resolve(name)).rejects.toThrow(/model\.safetensors\.index\.json: file name .* is refused: it/);
      expect(existsSync(join(at.cacheDir, "config.json"))).toBe(false);
    },
  );

  test.each([
    ["{}", /it has no weight_map/],
    ["{", /not valid JSON/],
    ['{"weight_map":{}}', /weight_map is empty/],
    ['{"weight_map":{"a":"model-1.safetensors"}}', /the repository has no model-1\.safetensors/],
  ])("an index %j is refused", async (index, message) => {
    const { "model.safetensors": _, ...rest } = FILES;
    const { name } = fresh({ ...rest, "model.safetensors.index.json": index });
    await expect(resolve(name)).rejects.toThrow(message);
  });

  test("modules in folders elsewhere are refused", async () => {
    const modules = JSON.stringify([{ path: "../..", type: "x.Dense" }]);
    await expect(resolve(fresh({ ...FILES, "modules.json": modules }).name)).rejects.toThrow(
      /modules\.json: file name "\.\.\/\.\." is refused/,
    );
  });

  test("files with names that lead elsewhere are left alone", async () => {
    const paths = ["../config.json", "/config.json", "..\\config.json", "C:\\config.json", "config.json\0"];
    const { name, commit } = fresh();
    at.hub.repo(name).tree = (entries) => [...paths.map((path) => ({ ...entries[1], path })), null, 7, ...entries];
    await resolve(name);
    expect((await readdir(at.cacheDir)).sort()).toEqual([".locks", `models--${name.replace("/", "--")}`]);
    expect((await readdir(join(repoDir(name), "snapshots", commit))).length).toBe(4);
  });

  test.each([
    [{ size: -1 }],
    [{ oid: "../../../etc/passwd" }],
    [{ oid: "0".repeat(64) }],
    [{ lfs: { oid: "0".repeat(40), size: 1 } }],
    [{ type: "directory" }],
  ])("a file with %j is none", async (change) => {
    const { name } = fresh();
    at.hub.repo(name).tree = (entries) =>
      entries.map((entry) => ("path" in entry && entry.path === "config.json" ? { ...entry, ...change } : entry));
    await expect(resolve(name)).rejects.toThrow(/the repository has no config\.json/);
  });

  test("files of absurd sizes are refused before they are fetched", async () => {
    const { name } = fresh();
    const claim = (path: string, size: number): void => {
      at.hub.repo(name).tree = (entries) =>
        entries.map((entry) => ("path" in entry && entry.path === path ? { ...entry, size } : entry));
    };
    claim("config.json", (64 << 20) + 1);
    await expect(resolve(name)).rejects.toThrow(/config\.json: 67108865 bytes, at most 67108864 are taken/);
    expect(at.hub.bodies("config.json")).toEqual([]);
  });

  test("more than the disk holds is refused before it is fetched", async () => {
    const { "model.safetensors": _, ...rest } = FILES;
    const shards = Array.from({ length: 500 }, (_, i) => `model-${i}.safetensors`);
    const map = Object.fromEntries(shards.map((shard, i) => [`t${i}`, shard]));
    const { name } = fresh({ ...rest, "model.safetensors.index.json": JSON.stringify({ weight_map: map }) });
    const lfs = (path: string) => ({ type: "file", path, size: 2 ** 35, lfs: { oid: ETAG, size: 2 ** 35 } });
    at.hub.repo(name).tree = (entries) => [...entries, ...shards.map(lfs)];
    await expect(resolve(name)).rejects.toThrow(/\d+ bytes to fetch, the disk of .* has \d+: make room/);
    expect(at.hub.bodies("config.json")).toEqual([]);
  });

  test("a list that is none is refused", async () => {
    const { name } = fresh();
    at.hub.repo(name).tree = () => [];
    await expect(resolve(name)).rejects.toThrow(/the repository has no config\.json/);
    at.hub.repo(name).tree = () => ({ slice: () => ({ no: "array" }), length: 1 }) as unknown as object[];
    await expect(resolve(name)).rejects.toThrow(/its list of files is not one/);
  });
});
