/** The examples as a web site: their pages and bundles out of dist/examples, the model in weights/, nothing else. */

import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, extname, join, resolve, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import type { ByteSource } from "../src/files/bytes.ts";
import { openFolder } from "../src/node/folder.ts";

export interface SiteOptions {
  /** Default: one that is free. */
  readonly port?: number | undefined;
  /** More folders, by the first segments of their paths: `{ "models/ner": "/home/me/ner" }`. */
  readonly folders?: Readonly<Record<string, string>> | undefined;
}

export interface Site {
  /** `http://localhost:8080` */
  readonly url: string;
  close(): Promise<void>;
}

const ROOT = packageRoot(import.meta.dirname);

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};

const CHUNK = 1 << 18; // bytes

/** No inline script, no eval, no WebAssembly, no other host. */
export const STRICT_POLICY = "default-src 'self'";
/** Plots carry their styles with them; models come from the hub, wherever that keeps its files. */
export const PLAYGROUND_POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' https:";

/** Serves on this machine alone. */
export async function serveSite({ port = 0, folders = {} }: SiteOptions = {}): Promise<Site> {
  const mounts = new Map([
    ...Object.entries(folders).map(([path, folder]) => [path, resolve(folder)] as const),
    ["weights", join(ROOT, "weights")] as const,
  ]);
  const pages = join(ROOT, "dist/examples");
  const server = createServer((request, response) => {
    answer(request, response, (path) => locate(path, mounts, pages)).catch(() => response.destroy());
  });
  await new Promise<void>((done, fail) => {
    server.once("error", fail);
    server.listen(port, "localhost", done);
  });
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

interface Place {
  readonly folder: string;
  /** Within it, `/` between its parts. */
  readonly path: string;
}

function locate(path: string, mounts: ReadonlyMap<string, string>, pages: string): Place | undefined {
  for (const [prefix, folder] of mounts) {
    if (path.startsWith(`/${prefix}/`)) return within(folder, path.slice(prefix.length + 2));
  }
  return within(pages, path.endsWith("/") ? `${path.slice(1)}index.html` : path.slice(1));
}

/** `undefined` for a path that leaves the folder. */
function within(folder: string, path: string): Place | undefined {
  const file = resolve(folder, path);
  return file.startsWith(folder + sep)
    ? { folder, path: file.slice(folder.length + 1).replaceAll(sep, "/") }
    : undefined;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  find: (path: string) => Place | undefined,
): Promise<void> {
  const refuse = (status: number, why: string, headers: Readonly<Record<string, string>> = {}): void => {
    response.writeHead(status, { "content-type": "text/plain; charset=utf-8", ...headers }).end(why);
  };
  // a page of another name that leads to this machine would read what is served to it alone
  const { port } = request.socket.address() as AddressInfo;
  const host = request.headers.host ?? "";
  if (!["localhost", "127.0.0.1", "[::1]"].some((name) => host === `${name}:${port}` || (port === 80 && host === name)))
    return refuse(403, `${host}: this site is localhost:${port}`);
  const { method, url = "" } = request;
  if (method !== "GET" && method !== "HEAD")
    return refuse(405, `${method}: only GET and HEAD are answered`, { allow: "GET, HEAD" });
  const path = pathOf(url);
  if (path === undefined) return refuse(400, "the address is malformed");
  const place = find(path);
  if (place !== undefined && (await isFolder(join(place.folder, place.path))))
    return void response.writeHead(301, { location: `${url.replace(/[?#].*/s, "")}/` }).end();
  const file = await openPlace(place).catch((error: NodeJS.ErrnoException) => {
    refuse(error.code === "EACCES" ? 403 : 404, `${path}: it cannot be read`);
    return null;
  });
  if (file === null) return;
  if (file === undefined) return refuse(404, `${path}: there is no such file`);
  try {
    const { size } = file;
    const range = rangeOf(request.headers.range, size);
    if (range === null) return refuse(416, `the file has ${size} bytes`, { "content-range": `bytes */${size}` });
    const { begin, end } = range ?? { begin: 0, end: size };
    response.writeHead(range ? 206 : 200, {
      "content-type": TYPES[extname(path.endsWith("/") ? "index.html" : path)] ?? "application/octet-stream",
      "content-length": end - begin,
      "content-security-policy": path.startsWith("/playground/") ? PLAYGROUND_POLICY : STRICT_POLICY,
      "cache-control": "no-cache",
      "accept-ranges": "bytes",
      ...(range && { "content-range": `bytes ${begin}-${end - 1}/${size}` }),
    });
    if (method === "HEAD") response.end();
    // ends, and lets go of the file, when whoever asked has gone
    else await pipeline(chunksOf(file, begin, end), response);
  } finally {
    await file.close();
  }
}

/** `undefined` for what is no path, such as `/%zz`. */
function pathOf(url: string): string | undefined {
  try {
    const path = decodeURIComponent(new URL(`http://localhost${url.startsWith("/") ? url : "?"}`).pathname);
    return url.startsWith("/") && !/\p{Control}/u.test(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

/** Links within a folder are followed as a model's are: not out of it. */
async function openPlace(place: Place | undefined): Promise<ByteSource | undefined> {
  return place && existsSync(place.folder) ? openFolder(place.folder).open(place.path) : undefined;
}

/** Bytes from `begin` up to `end`; `undefined` where no range of bytes is asked, `null` where there are none such. */
function rangeOf(header: string | undefined, size: number): { begin: number; end: number } | undefined | null {
  if (!header?.startsWith("bytes=")) return undefined;
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(header) ?? [];
  if (from === undefined || (from === "" && to === "")) return null;
  const begin = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === "" || to === "" ? size : Math.min(size, Number(to) + 1);
  return begin < end ? { begin, end } : null;
}

async function* chunksOf(file: ByteSource, begin: number, end: number): AsyncGenerator<Uint8Array> {
  for (let at = begin; at < end; at += CHUNK) yield file.read(at, Math.min(CHUNK, end - at));
}

/** The same whether this file runs as it is or out of a bundle. */
function packageRoot(folder: string): string {
  return existsSync(join(folder, "package.json")) || dirname(folder) === folder ? folder : packageRoot(dirname(folder));
}
