/** Redirects: mirrors that lead to another origin, with the token left at home, and no further than that is safe. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { readText } from "../../src/files/bytes.ts";
import { httpFolder } from "../../src/files/http.ts";
import { hubFolder } from "../../src/files/hub.ts";
import { hubSettings } from "../../src/node/hub/environment.ts";
import { CONFIG, useHub, WEIGHTS, wholeFile } from "./hub_fixture.ts";

const at = useHub();
const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
});

interface Site {
  readonly url: string;
  readonly seen: { readonly path: string; readonly authorization: string | undefined }[];
}

/** A server that answers by `answer`, and notes who has shown a token. */
async function site(answer: (path: string, response: ServerResponse, request: IncomingMessage) => void): Promise<Site> {
  const seen: Site["seen"] = [];
  const server = createServer((request, response) => {
    seen.push({ path: request.url!, authorization: request.headers.authorization });
    answer(request.url!, response, request);
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

const redirect = (response: ServerResponse, location: string, status = 308): unknown =>
  response.writeHead(status, { location }).end();

const token = "hf_private";

describe("a mirror that redirects to another origin", () => {
  test.each([301, 302, 307, 308])("with %d is followed, without the token", async (status) => {
    const { name, commit } = at.fresh();
    const mirror = await site((path, response) => redirect(response, at.hub.endpoint + path, status));
    const folder = await at.resolve(name, { endpoint: mirror.url, token });
    expect(await readText(folder, "config.json")).toBe(CONFIG);
    expect(Buffer.compare((await wholeFile(folder, "model.safetensors"))!, WEIGHTS)).toBe(0);
    expect(at.hub.seen.length).toBeGreaterThan(5);
    expect(at.hub.seen.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
    expect(new Set(mirror.seen.map(({ authorization }) => authorization))).toEqual(new Set([`Bearer ${token}`]));
    expect(folder.name).toBe(name);
    // as the browsers' reader, which leaves redirects to fetch
    mirror.seen.length = 0;
    at.hub.seen.length = 0;
    const streamed = hubFolder(name, { endpoint: mirror.url, token, revision: commit });
    expect(await readText(streamed, "config.json")).toBe(CONFIG);
    expect(mirror.seen[0]!.authorization).toBe(`Bearer ${token}`);
    expect(at.hub.seen.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
  });

  test("and comes back is not shown the token again", async () => {
    const { name } = at.fresh();
    const other = await site((path, response) => redirect(response, `${home.url}/back${path}`));
    const home: Site = await site((path, response) =>
      path.startsWith("/back")
        ? redirect(response, at.hub.endpoint + path.slice(5))
        : redirect(response, other.url + path),
    );
    await at.resolve(name, { endpoint: home.url, token });
    const back = home.seen.filter(({ path }) => path.startsWith("/back"));
    expect(back.length).toBeGreaterThan(3);
    for (const { authorization } of [...back, ...other.seen]) expect(authorization).toBeUndefined();
    expect(home.seen[0]!.authorization).toBe(`Bearer ${token}`);
  });

  test("to a model that needs the token says where to send it", async () => {
    const { name } = at.fresh();
    at.hub.repo(name).token = token;
    const mirror = await site((path, response) => redirect(response, at.hub.endpoint + path));
    const refused = at.resolve(name, { endpoint: mirror.url, token });
    await expect(refused).rejects.toThrow(`401`);
    await expect(refused).rejects.toThrow(`set HF_ENDPOINT to ${at.hub.endpoint}`);
    await expect(refused).rejects.not.toThrow(token);
  });

  test("to nothing says what the other one says", async () => {
    const { name } = at.fresh();
    const mirror = await site((path, response) => redirect(response, at.hub.endpoint + path));
    await expect(at.resolve(`${name}@none`, { endpoint: mirror.url })).rejects.toThrow(/no revision "none" \(404\)/);
  });

  test("for ever is given up", async () => {
    const ping: Site = await site((path, response) => redirect(response, pong.url + path));
    const pong = await site((path, response) => redirect(response, ping.url + path));
    await expect(at.resolve("acme/none", { endpoint: ping.url })).rejects.toThrow("more than 10 redirects");
    expect(ping.seen.length + pong.seen.length).toBe(11);
  });
});

describe("what is not followed", () => {
  /** As a server with a certificate would. */
  const secure = (location: string) => {
    const asked: string[] = [];
    const fetch = async (input: string | URL | Request): Promise<Response> => {
      asked.push(String(input));
      return new Response(null, { status: 302, headers: { location } });
    };
    return { fetch, asked };
  };

  test("from https to http, once", async () => {
    const { fetch, asked } = secure("http://other.example/x?Signature=secret");
    const refused = at.resolve("acme/model", { endpoint: "https://hub.example", fetch, token });
    await expect(refused).rejects.toThrow("sent on to http://other.example, which is not https");
    await expect(refused).rejects.not.toThrow("secret");
    expect(asked).toEqual([expect.stringContaining("https://hub.example/")]);
  });

  test("from https to http where fetch has followed it", async () => {
    const fetch = async (): Promise<Response> =>
      Object.defineProperty(new Response("{}"), "url", { value: "http://other.example/config.json?sig=secret" });
    const open = httpFolder("https://hub.example/model", { fetch }).open("config.json");
    await expect(open).rejects.toThrow("sent on to http://other.example/config.json, which is not https");
    await expect(open).rejects.not.toThrow("secret");
  });

  test("an address with a password, which no message repeats", async () => {
    const { fetch, asked } = secure("https://user:hunter2@other.example/x");
    const refused = at.resolve("acme/model", { endpoint: "https://hub.example", fetch });
    await expect(refused).rejects.toThrow(/no http address, or has a password/);
    await expect(refused).rejects.not.toThrow("hunter2");
    expect(asked).toHaveLength(1);
    for (const HF_ENDPOINT of [
      "https://user:hunter2@hub.example",
      "https://:hunter2@hub.example",
      "hunter2@hub.example",
    ]) {
      const settings = hubSettings({}, { HF_ENDPOINT });
      await expect(settings).rejects.toThrow(/hub.example" is not the address of a hub/);
      await expect(settings).rejects.not.toThrow("hunter2");
    }
    const folder = (): unknown => httpFolder("http://user:hunter2@127.0.0.1:9/model?sig=hunter2");
    expect(folder).toThrow("http://127.0.0.1:9/model: give an http or https address of a folder, without password");
    expect(folder).not.toThrow("hunter2");
    const hub = hubFolder("acme/model", { endpoint: "http://user:hunter2@127.0.0.1:9", retry: { tries: 1 } });
    const open = hub.open("config.json");
    await expect(open).rejects.toThrow("http://127.0.0.1:9/api/models/acme/model/revision/main: no answer");
    await expect(open).rejects.not.toThrow("hunter2");
  });

  test("a signed address whose answer breaks off is named without its signature", async () => {
    const { name } = at.fresh();
    const short: typeof fetch = async (input, init) => {
      if (!String(input).startsWith(at.hub.cdn)) return fetch(input, init);
      const begin = Number(/\d+/.exec(new Headers(init?.headers).get("range") ?? "0"));
      const range = `bytes ${begin}-${WEIGHTS.length - 1}/${WEIGHTS.length}`;
      return new Response(new Uint8Array(WEIGHTS.subarray(begin, begin + 1)), {
        status: begin > 0 ? 206 : 200,
        headers: { "content-range": range },
      });
    };
    const refused = at.resolve(name, { retry: { delay: 1 }, fetch: short });
    await expect(refused).rejects.toThrow(/it ended at 5 of 300000 bytes/);
    await expect(refused).rejects.not.toThrow("Signature");
  });
});
