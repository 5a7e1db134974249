/** The examples' server: the right files, by ranges too, and nothing from outside its folders. */

import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Site, STRICT_POLICY, serveSite } from "../../examples/serve.ts";

const ROOT = join(import.meta.dirname, "../..");

let site: Site;
beforeAll(async () => {
  site = await serveSite();
});
afterAll(() => site.close());

test("serves the weights, whole and by ranges", async () => {
  const file = readFileSync(join(import.meta.dirname, "../../weights/movie-bert/config.json"));
  const url = `${site.url}/weights/movie-bert/config.json`;
  const whole = await fetch(url);
  expect(whole.headers.get("content-security-policy")).toBe(STRICT_POLICY);
  expect(await whole.text()).toBe(file.toString());
  const part = await fetch(url, { headers: { range: "bytes=3-9" } });
  expect([part.status, part.headers.get("content-range")]).toEqual([206, `bytes 3-9/${file.length}`]);
  expect(await part.text()).toBe(file.subarray(3, 10).toString());
});

test.each(["/weights/..%2fpackage.json", "/..%2f..%2fpackage.json", "/package.json", "/weights/none.json"])(
  "%s is not there",
  async (path) => {
    expect((await fetch(site.url + path)).status).toBe(404);
  },
);

/** With any path and any headers, which `fetch` would mend. @returns status and body */
function raw(path: string, headers: Readonly<Record<string, string>> = {}): Promise<{ status: number; body: string }> {
  const { port } = new URL(site.url);
  return new Promise((done, fail) => {
    const asked = request({ host: "localhost", port, path, headers, agent: false }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => {
        body += chunk;
      });
      response.on("end", () => done({ status: response.statusCode!, body }));
    });
    asked.on("error", fail).end();
  });
}

const CONFIG = "/weights/movie-bert/config.json";
const MODEL = "/weights/movie-bert/model.safetensors";

test.each(["/%", "/weights/%zz", "/weights/%00", "/%E0%A4%A", "*", "http://elsewhere/"])(
  "%s is malformed: 400",
  async (path) => {
    expect((await raw(path)).status).toBe(400);
  },
);

test.each(["bytes=9-3", "bytes=99999999-", "bytes=-", "bytes=-0", "bytes=a-b", "bytes=0-1,3-4"])(
  "the range %s is none: 416",
  async (range) => {
    const response = await fetch(site.url + CONFIG, { headers: { range } });
    expect(response.status).toBe(416);
    expect(response.headers.get("content-range")).toMatch(/^bytes \*\/\d+$/);
  },
);

test("the last bytes can be asked for", async () => {
  const file = readFileSync(join(ROOT, CONFIG));
  const response = await fetch(site.url + CONFIG, { headers: { range: "bytes=-5" } });
  expect([response.status, await response.text()]).toEqual([206, file.subarray(-5).toString()]);
});

test("it answers to its own name alone", async () => {
  expect((await raw(CONFIG, { host: "evil.example" })).status).toBe(403);
  expect((await raw(CONFIG, { host: `evil.example:${new URL(site.url).port}` })).status).toBe(403);
  expect((await raw(CONFIG, { host: `127.0.0.1:${new URL(site.url).port}` })).status).toBe(200);
});

describe("a folder that is mounted", () => {
  let folder: string;
  let mounted: Site;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "site-"));
    writeFileSync(join(folder, "in.txt"), "inside");
    symlinkSync("in.txt", join(folder, "link.txt"));
    symlinkSync(join(ROOT, "package.json"), join(folder, "out.json"));
    symlinkSync(ROOT, join(folder, "out"));
    spawnSync("mkfifo", [join(folder, "pipe")]);
    mounted = await serveSite({ folders: { mine: folder } });
  });
  afterAll(async () => {
    await mounted.close();
    rmSync(folder, { recursive: true });
  });

  test("is not left by links, and has nothing but files", async () => {
    expect(await (await fetch(`${mounted.url}/mine/link.txt`)).text()).toBe("inside");
    for (const path of ["out.json", "out/package.json", "pipe", "none"]) {
      expect((await fetch(`${mounted.url}/mine/${path}`)).status, path).toBe(404);
    }
  });
});

test("requests that are given up keep no file open", async () => {
  const open = (): number =>
    readdirSync("/proc/self/fd").filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).endsWith("model.safetensors");
      } catch {
        return false;
      }
    }).length;
  if (!existsSync("/proc/self/fd")) return;
  const { port } = new URL(site.url);
  for (let i = 0; i < 20; i++) {
    await new Promise<void>((done) => {
      const socket = connect(Number(port), "localhost", () =>
        socket.write(`GET ${MODEL} HTTP/1.1\r\nhost: localhost:${port}\r\n\r\n`),
      );
      socket.once("data", () => socket.destroy());
      socket.once("close", () => done());
    });
  }
  await vi.waitFor(() => expect(open()).toBe(0), { timeout: 5000 });
  expect((await fetch(site.url + CONFIG)).status).toBe(200);
});
