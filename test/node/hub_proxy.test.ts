/** Proxies that the environment names: what goes through them, what does not, and what they are not told. */

import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { readText } from "../../src/files/bytes.ts";
import { hubFolder } from "../../src/files/hub.ts";
import { proxiedFetch } from "../../src/node/index.ts";
import { CONFIG, useHub, WEIGHTS, wholeFile } from "./hub_fixture.ts";

const at = useHub();
/** A name that no resolver knows: only the proxy can reach it. */
const HUB = "http://hub.invalid";
const LOGIN = `Basic ${Buffer.from("us er:p@ss").toString("base64")}`;

let proxy: Server;
let address: string;
const seen: { method: string; url: string; login: string | undefined; authorization: string | undefined }[] = [];
let refuse: number | undefined;

beforeAll(async () => {
  proxy = createServer((request, response) => {
    const { method, url, headers } = request;
    seen.push({
      method: method!,
      url: url!,
      login: headers["proxy-authorization"],
      authorization: headers.authorization,
    });
    if (refuse) return void response.writeHead(refuse).end();
    const { host, pathname, search } = new URL(url!);
    const origin = host === "hub.invalid" ? at.hub.endpoint : `http://${host}`;
    const { "proxy-authorization": _, ...rest } = headers;
    fetch(origin + pathname + search, {
      method: method!,
      redirect: "manual",
      headers: Object.fromEntries(
        Object.entries(rest).filter(([name]) => /^(range|authorization)$/.test(name)),
      ) as Record<string, string>,
    }).then(async (answer) => {
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(Buffer.from(await answer.arrayBuffer()));
    });
  });
  proxy.on("connect", ({ method, url, headers }, socket) => {
    seen.push({
      method: method!,
      url: url!,
      login: headers["proxy-authorization"],
      authorization: headers.authorization,
    });
    socket.end(`HTTP/1.1 ${refuse ?? 502} no\r\n\r\n`);
  });
  await new Promise<void>((done) => proxy.listen(0, "127.0.0.1", done));
  address = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
});
afterAll(async () => {
  proxy.closeAllConnections();
  await new Promise((done) => proxy.close(done));
});

beforeEach(() => {
  seen.length = 0;
  refuse = undefined;
  for (const name of ["http_proxy", "https_proxy", "no_proxy"]) {
    vi.stubEnv(name, undefined);
    vi.stubEnv(name.toUpperCase(), undefined);
  }
});
afterEach(() => vi.unstubAllEnvs());

const once = { retry: { tries: 1 } };

describe("HTTP_PROXY", () => {
  test.each(["HTTP_PROXY", "http_proxy"])("as %s takes all of a download, with its own password", async (variable) => {
    const { name } = at.fresh();
    vi.stubEnv(variable, `http://us%20er:p%40ss@${address}`);
    const folder = await at.resolve(name, { endpoint: HUB, token: "hf_private" });
    expect(await readText(folder, "config.json")).toBe(CONFIG);
    expect(Buffer.compare((await wholeFile(folder, "model.safetensors"))!, WEIGHTS)).toBe(0);
    expect(seen.length).toBeGreaterThan(5);
    expect(seen.filter(({ method, login }) => method === "CONNECT" || login !== LOGIN)).toEqual([]);
    const shown = seen.map(({ url, authorization }) => [new URL(url).origin, authorization]);
    // this hub's pages of files name it by its address, which is not that of the endpoint
    const expected = [`${HUB},Bearer hf_private`, `${at.hub.cdn},`, `${at.hub.endpoint},`];
    expect(new Set(shown.map(String))).toEqual(new Set(expected));
    expect(at.hub.seen.length).toBe(seen.length);
  });

  test("without a scheme is one of http; empty is none, and goes before upper case", async () => {
    const { name } = at.fresh();
    vi.stubEnv("HTTP_PROXY", address);
    await at.resolve(name, { endpoint: HUB });
    expect(seen.length).toBeGreaterThan(5);
    vi.stubEnv("http_proxy", "");
    expect(await proxiedFetch()).toBe(fetch);
  });

  test("is not for https, nor the other way round", async () => {
    vi.stubEnv("HTTP_PROXY", `http://${address}`);
    await expect(at.resolve("acme/model", { endpoint: "https://hub.invalid", ...once })).rejects.toThrow("no answer");
    vi.stubEnv("HTTP_PROXY", "");
    vi.stubEnv("HTTPS_PROXY", `http://${address}`);
    await expect(at.resolve("acme/model", { endpoint: HUB, ...once })).rejects.toThrow("no answer");
    expect(seen).toEqual([]);
  });

  test("is what the browsers' reader can be given as well", async () => {
    const { name } = at.fresh();
    const folder = hubFolder(name, { endpoint: HUB, fetch: await proxiedFetch({ HTTP_PROXY: address }) });
    expect(await readText(folder, "config.json")).toBe(CONFIG);
    expect(seen.length).toBeGreaterThan(1);
  });

  test("that refuses or is not there is told apart from the hub, and its password is not told", async () => {
    refuse = 407;
    vi.stubEnv("HTTP_PROXY", `http://user:hunter2@${address}`);
    const refused = at.resolve("acme/model", { endpoint: HUB, ...once });
    await expect(refused).rejects.toThrow("407");
    await expect(refused).rejects.not.toThrow("hunter2");
    vi.stubEnv("HTTP_PROXY", "http://user:hunter2@127.0.0.1:9");
    const nobody = at.resolve("acme/model", { endpoint: HUB, ...once });
    await expect(nobody).rejects.toThrow("ECONNREFUSED 127.0.0.1:9 (HTTP_PROXY is http://127.0.0.1:9)");
    await expect(nobody).rejects.not.toThrow("hunter2");
    for (const bad of ["socks5://user:hunter2@x:1", "http://user:hunter2@", "ftp://hunter2"]) {
      vi.stubEnv("HTTP_PROXY", bad);
      const wrong = at.resolve("acme/model", { endpoint: HUB, ...once });
      await expect(wrong).rejects.toThrow(RangeError);
      await expect(wrong).rejects.toThrow("HTTP_PROXY is not the address of an http proxy");
      await expect(wrong).rejects.not.toThrow("hunter2");
    }
  });

  test("has its status told, where it gives no words for it", async () => {
    refuse = 502;
    vi.stubEnv("HTTP_PROXY", address);
    await expect(at.resolve("acme/model", { endpoint: HUB, ...once })).rejects.toThrow(/the server answers 502$/);
  });

  test("is not asked for what is in the cache", async () => {
    const { name, commit } = at.fresh();
    await at.resolve(`${name}@${commit}`);
    vi.stubEnv("HTTP_PROXY", "socks5://nothing");
    expect((await at.resolve(`${name}@${commit}`)).name).toBe(`${name}@${commit}`);
  });
});

describe("HTTPS_PROXY", () => {
  test.each([
    ["HTTPS_PROXY", "https://hub.invalid", "hub.invalid:443"],
    ["https_proxy", "https://hub.invalid:8443", "hub.invalid:8443"],
  ])("as %s is asked for a tunnel to %s", async (variable, endpoint, target) => {
    vi.stubEnv(variable, `http://user:hunter2@${address}`);
    const refused = at.resolve("acme/model", { endpoint, token: "hf_private", ...once });
    await expect(refused).rejects.toThrow(`Proxy response (502)`);
    await expect(refused).rejects.toThrow(`(${variable} is http://${address})`);
    await expect(refused).rejects.not.toThrow("hunter2");
    const login = `Basic ${Buffer.from("user:hunter2").toString("base64")}`;
    expect(seen).toEqual([{ method: "CONNECT", url: target, login, authorization: undefined }]);
  });

  test("whose tunnel leads nowhere ends with an error", async () => {
    const tunnel = createServer().on("connect", (_, socket) => {
      socket.write("HTTP/1.1 200 ok\r\n\r\n");
      const hub = connect(Number(new URL(at.hub.endpoint).port), "127.0.0.1"); // which speaks no TLS
      hub.pipe(socket).pipe(hub);
    });
    await new Promise<void>((done) => tunnel.listen(0, "127.0.0.1", done));
    vi.stubEnv("HTTPS_PROXY", `127.0.0.1:${(tunnel.address() as AddressInfo).port}`);
    await expect(at.resolve("acme/model", { endpoint: "https://hub.invalid", ...once })).rejects.toThrow("no answer");
    tunnel.closeAllConnections();
    tunnel.close();
  });
});

describe("NO_PROXY", () => {
  const port = (): string => new URL(at.hub.endpoint).port;
  test.each([
    ["*", true],
    ["other.example, 127.0.0.1", true],
    ["localhost 127.0.0.1", true],
    [() => `127.0.0.1:${port()}`, true],
    ["0.0.1", true],
    ["127.0.0.1:1", false],
    ["127.0.0.10", false],
    ["7.0.0.1", false],
    ["", false],
  ])("%s reaches 127.0.0.1 directly: %s", async (entry, direct) => {
    for (const variable of ["NO_PROXY", "no_proxy"]) {
      const env = { HTTP_PROXY: address, [variable]: typeof entry === "string" ? entry : entry() };
      seen.length = 0;
      await (await proxiedFetch(env))(at.hub.endpoint);
      expect(seen.length).toBe(direct ? 0 : 1);
    }
  });

  test.each([
    ["hub.invalid", true],
    [".invalid", true],
    ["invalid", true],
    ["*.invalid", true],
    ["HUB.Invalid:80", true],
    ["hub.invalid:443", false],
    ["b.invalid", false],
    ["hub.invalid.example", false],
  ])("%s keeps http://hub.invalid from the proxy: %s", async (entry, direct) => {
    vi.stubEnv("HTTP_PROXY", address);
    vi.stubEnv("NO_PROXY", entry);
    await at.resolve("acme/none", { endpoint: HUB, ...once }).catch(() => {});
    expect(seen.length).toBe(direct ? 0 : 1);
  });

  test("takes a bare IPv6 address", async () => {
    const server = createServer((_, response) => response.end("six"));
    const there = await new Promise<boolean>((done) => {
      server.on("error", () => done(false)).listen(0, "::1", () => done(true));
    });
    if (!there) return; // a machine without IPv6
    const six = `http://[::1]:${(server.address() as AddressInfo).port}`;
    for (const entry of ["::1", "[::1]"]) {
      const through = await proxiedFetch({ HTTP_PROXY: "127.0.0.1:9", NO_PROXY: entry });
      expect(await (await through(six)).text()).toBe("six");
    }
    server.closeAllConnections();
    server.close();
  });
});
