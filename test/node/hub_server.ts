/** A server on this machine that behaves like the Hugging Face hub and its CDN, and misbehaves when told to. */

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Files = Readonly<Record<string, string | Uint8Array>>;

export interface TestRepo {
  /** Commit -> files. */
  readonly commits: Map<string, Map<string, Buffer>>;
  /** Branch or tag -> commit. */
  readonly refs: Map<string, string>;
  /** Needs this token. */
  token?: string;
  /** Needs, beyond a token, that the licence be accepted. */
  gated?: boolean;
  /** Changes the list of files. */
  tree?: (entries: readonly object[]) => readonly unknown[];
}

export interface SeenRequest {
  readonly server: "hub" | "cdn";
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** File that it is about, on either server. */
  readonly file: string | undefined;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** What goes wrong with one answer. */
export interface Fault {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Send so many bytes of the body, then break the connection, or say nothing more. */
  readonly stop?: { readonly after: number; readonly how: "cut" | "hang" };
  /** Change the first byte of the body. */
  readonly corrupt?: boolean;
  readonly ignoreRange?: boolean;
  /** Bytes in the body beyond the file's own. */
  readonly surplus?: number;
}

export interface TestHub {
  readonly endpoint: string;
  readonly cdn: string;
  readonly seen: SeenRequest[];
  /** Asked about every request. */
  fault: (request: SeenRequest) => Fault | undefined;
  /** Adds a commit to a repository, and moves the branch there. @returns the commit */
  commit(name: string, files: Files, branch?: string): string;
  repo(name: string): TestRepo;
  /** Requests for the content of a file, on the server that had it in the end. */
  bodies(file: string): SeenRequest[];
  /** Sends the rest of all answers that hang. */
  release(): void;
  close(): Promise<void>;
}

/** Entries of a page of the list of files: few, so that every list has several. */
const PAGE = 4;

export const isLarge = (path: string): boolean => /\.(safetensors|bin|h5)$/.test(path);

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The name that git gives to content. */
export const gitHash = (bytes: Uint8Array): string =>
  createHash("sha1").update(`blob ${bytes.byteLength}\0`).update(bytes).digest("hex");

export const etagOf = (path: string, bytes: Uint8Array): string => (isLarge(path) ? sha256(bytes) : gitHash(bytes));

export async function startHub(): Promise<TestHub> {
  const repos = new Map<string, TestRepo>();
  const blobs = new Map<string, { path: string; bytes: Buffer }>();
  const seen: SeenRequest[] = [];
  const hanging: (() => void)[] = [];

  const note = (server: SeenRequest["server"], request: IncomingMessage, path: string, file?: string): Fault => {
    const { range, authorization } = request.headers;
    const entry: SeenRequest = { server, method: request.method!, path, file, range, authorization };
    seen.push(entry);
    return hub.fault(entry) ?? {};
  };

  const hubServer = await listen((request, response) => {
    const { pathname, searchParams } = new URL(request.url!, "http://hub");
    const found = /^\/(?:api\/(?:models|resolve-cache\/models)\/)?([\w.-]+\/[\w.-]+)\/(.*)$/.exec(pathname);
    const [, name = "", rest = ""] = found ?? [];
    const [, kind, revision, path] = /^(?:(resolve|tree|revision)\/)?([^/]+)\/?(.*)$/.exec(rest) ?? [];
    const file = path ? decodeURIComponent(path) : undefined;
    const fault = note("hub", request, pathname, file);
    const fail = (status: number, code: string): void =>
      void response.writeHead(status, { "x-error-code": code }).end();
    if (fault.status !== undefined) return void response.writeHead(fault.status, fault.headers).end();

    const repo = repos.get(name);
    const authorised = request.headers.authorization === `Bearer ${repo?.token}`;
    if (!repo || (repo.token && !authorised)) return fail(request.headers.authorization ? 404 : 401, "RepoNotFound");
    const rev = decodeURIComponent(revision ?? "");
    const commit = repo.refs.get(rev) ?? rev;
    const files = repo.commits.get(commit);
    if (!files) return fail(404, "RevisionNotFound");

    if (kind === "revision") {
      const siblings = [...files.keys()].map((rfilename) => ({ rfilename }));
      return void response.end(JSON.stringify({ id: name, sha: commit, siblings }));
    }
    if (kind === "tree") {
      const from = Number(searchParams.get("cursor") ?? 0);
      const all = repo.tree?.(treeOf(files)) ?? treeOf(files);
      const more = from + PAGE < all.length;
      const next = `<${hub.endpoint}${pathname}?cursor=${from + PAGE}>; rel="next"`;
      response.writeHead(200, { "content-type": "application/json", ...(more && { link: next }), ...fault.headers });
      return void response.end(JSON.stringify(all.slice(from, from + PAGE)));
    }
    if (repo.gated) return fail(403, "GatedRepo");
    const bytes = files.get(file ?? "");
    if (bytes === undefined) {
      response.setHeader("x-repo-commit", commit);
      return fail(404, "EntryNotFound");
    }
    const etag = etagOf(file!, bytes);
    response.setHeader("x-repo-commit", commit);
    if (isLarge(file!)) {
      blobs.set(etag, { path: file!, bytes });
      response.setHeader("x-linked-etag", `"${etag}"`);
      response.setHeader("x-linked-size", bytes.byteLength);
      response.writeHead(302, { location: `${hub.cdn}/${etag}?Signature=secret`, ...fault.headers });
      return void response.end();
    }
    if (kind === "resolve") {
      // as the hub does for small files
      response.writeHead(307, { location: `/api/resolve-cache/models/${name}/${commit}/${path}`, etag: `"${etag}"` });
      return void response.end();
    }
    sendBytes(request, response, bytes, `"${etag}"`, fault, hanging);
  });

  const cdnServer = await listen((request, response) => {
    const { pathname } = new URL(request.url!, "http://cdn");
    const blob = blobs.get(pathname.slice(1));
    const fault = note("cdn", request, pathname, blob?.path);
    // as signed addresses do, it refuses what is authorised twice
    if (request.headers.authorization !== undefined) return void response.writeHead(400).end();
    if (!blob || fault.status !== undefined) return void response.writeHead(fault.status ?? 404, fault.headers).end();
    sendBytes(request, response, blob.bytes, '"of the cdn"', fault, hanging);
  });

  const hub: TestHub = {
    endpoint: addressOf(hubServer),
    cdn: addressOf(cdnServer),
    seen,
    fault: () => undefined,
    commit(name, files, branch = "main") {
      const repo = repos.get(name) ?? { commits: new Map(), refs: new Map() };
      const contents = new Map(Object.entries(files).map(([path, bytes]) => [path, Buffer.from(bytes as string)]));
      const tree = [...contents].map(([path, bytes]) => `${path} ${gitHash(bytes)}`);
      const commit = gitHash(Buffer.from([name, repo.commits.size, ...tree].join("\n")));
      repo.commits.set(commit, contents);
      repo.refs.set(branch, commit);
      repos.set(name, repo);
      return commit;
    },
    repo: (name) => repos.get(name)!,
    bodies: (file) => seen.filter((one) => one.file === file && one.method === "GET" && !/\/resolve\//.test(one.path)),
    release() {
      for (const go of hanging.splice(0)) go();
    },
    async close() {
      await Promise.all([hubServer, cdnServer].map(shut));
    },
  };
  return hub;
}

function treeOf(files: ReadonlyMap<string, Buffer>): object[] {
  return [...files].map(([path, bytes]) => ({
    type: "file",
    path,
    size: bytes.byteLength,
    oid: gitHash(isLarge(path) ? Buffer.from("a pointer") : bytes),
    ...(isLarge(path) && { lfs: { oid: sha256(bytes), size: bytes.byteLength, pointerSize: 134 } }),
  }));
}

function sendBytes(
  request: IncomingMessage,
  response: ServerResponse,
  all: Buffer,
  etag: string,
  fault: Fault,
  hanging: (() => void)[],
): void {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(fault.ignoreRange ? "" : (request.headers.range ?? "")) ?? [];
  const begin = Number(from ?? 0);
  const end = Math.min(to ? Number(to) + 1 : all.byteLength, all.byteLength);
  const headers: Record<string, string | number> = { etag, "accept-ranges": "bytes" };
  if (from !== undefined && begin >= all.byteLength) {
    return void response.writeHead(416, { ...headers, "content-range": `bytes */${all.byteLength}` }).end();
  }
  if (from !== undefined) headers["content-range"] = `bytes ${begin}-${end - 1}/${all.byteLength}`;
  const body = Buffer.concat([all.subarray(begin, end), Buffer.alloc(fault.surplus ?? 0)]);
  if (fault.corrupt) body[0] = body[0]! ^ 1;
  response.writeHead(from === undefined ? 200 : 206, {
    ...headers,
    "content-length": body.byteLength,
    ...fault.headers,
  });
  if (request.method === "HEAD") return void response.end();
  const { stop } = fault;
  if (!stop) return void response.end(body);
  response.write(body.subarray(0, stop.after), () => {
    // what is written must have left before the connection is broken
    if (stop.how === "cut") setTimeout(() => response.destroy(), 20);
  });
  if (stop.how === "hang") hanging.push(() => response.end(body.subarray(stop.after)));
}

async function listen(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(handler);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

const addressOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

function shut(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((done) => server.close(() => done()));
}
