/** The examples as a web site: their pages and bundles out of dist/examples, the model in weights/, nothing else. */

import { createReadStream, existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, extname, join, resolve, sep } from "node:path";

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

function locate(path: string, mounts: ReadonlyMap<string, string>, pages: string): string | undefined {
  for (const [prefix, folder] of mounts) {
    if (path.startsWith(`/${prefix}/`)) return within(folder, path.slice(prefix.length + 2));
  }
  return within(pages, path.endsWith("/") ? `${path.slice(1)}index.html` : path.slice(1));
}

/** `undefined` for a path that leaves the folder. */
function within(folder: string, path: string): string | undefined {
  const file = resolve(folder, path);
  return file.startsWith(folder + sep) ? file : undefined;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  find: (path: string) => string | undefined,
): Promise<void> {
  const { pathname } = new URL(request.url ?? "/", "http://localhost");
  const file = request.method === "GET" || request.method === "HEAD" ? find(decodeURIComponent(pathname)) : undefined;
  const found = file === undefined ? undefined : await stat(file).catch(() => undefined);
  if (found?.isDirectory()) {
    response.writeHead(301, { location: `${pathname}/` }).end();
    return;
  }
  if (file === undefined || !found) {
    response.writeHead(404, { "content-type": "text/plain" }).end(`${pathname}: there is no such file`);
    return;
  }
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const begin = range ? Number(range[1]) : 0;
  const end = Math.min(found.size - 1, range?.[2] ? Number(range[2]) : Number.POSITIVE_INFINITY);
  response.writeHead(range ? 206 : 200, {
    "content-type": TYPES[extname(file)] ?? "application/octet-stream",
    "content-length": Math.max(0, end - begin + 1),
    "content-security-policy": pathname.startsWith("/playground/") ? PLAYGROUND_POLICY : STRICT_POLICY,
    "cache-control": "no-cache",
    "accept-ranges": "bytes",
    ...(range && { "content-range": `bytes ${begin}-${end}/${found.size}` }),
  });
  if (request.method === "HEAD" || found.size === 0) response.end();
  else createReadStream(file, { start: begin, end }).pipe(response);
}

/** The same whether this file runs as it is or out of a bundle. */
function packageRoot(folder: string): string {
  return existsSync(join(folder, "package.json")) || dirname(folder) === folder ? folder : packageRoot(dirname(folder));
}
