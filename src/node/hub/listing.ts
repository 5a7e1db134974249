/** What the hub says of a model: the commit behind a revision, and the files of a commit with their hashes. */

import { unsafePath } from "../../files/bytes.ts";
import { fileUrl, type HubModel, hubRefusal, isCommit, modelText } from "../../files/hub.ts";
import { HttpError, shownUrl } from "../../files/request.ts";
import { bytesOf, type HubConnection, send } from "./client.ts";
import type { RepoKind } from "./files.ts";

/** A file of a commit. */
export interface HubFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** The name of its blob, which is its hash: of the content for large files, git's for the others. */
  readonly etag: string;
  readonly hash: "sha256" | "git-sha1";
}

/** Pages are JSON of a thousand files; a repository with more than this many is not one of a model. Bytes of all pages. */
const MOST_BYTES = 64 << 20;
const MOST_FILES = 100_000;
const MOST_PAGES = 200;

/** The commit that a revision is at now. @throws HttpError, also where it is nothing of this kind */
export async function commitOf(hub: HubConnection, model: HubModel, { what, config }: RepoKind): Promise<string> {
  const url = fileUrl(hub.endpoint, model, config);
  const { linked } = await send(hub, url, {
    method: "HEAD",
    to: "commit",
    refusal: (response) =>
      what === "adapter" && response.headers.get("x-error-code") === "EntryNotFound"
        ? new HttpError(`${modelText(model)}: there is no ${config} (404): is it an adapter of PEFT?`, response.status)
        : hubRefusal(response, model, hub),
  });
  if (linked.commit !== undefined && isCommit(linked.commit)) return linked.commit;
  throw new HttpError(`${url}: the answer names no commit (X-Repo-Commit): is ${hub.endpoint} a hub?`, 502);
}

/**
 * The files of a commit by their paths. Names that could lead out of a folder are left out: nothing asks for them.
 * @throws HttpError
 */
export async function listCommit(hub: HubConnection, model: HubModel): Promise<Map<string, HubFile>> {
  // here, since a model in a folder needs none of it
  const { listFiles } = await import("@huggingface/hub");
  let [pages, bytes] = [0, 0];
  const entries = listFiles({
    repo: { type: "model", name: model.name },
    revision: model.revision,
    recursive: true,
    hubUrl: hub.endpoint,
    // without the token, which its own check would refuse from other hubs, and which `send` adds for this one alone
    fetch: async (input) => {
      if (++pages > MOST_PAGES) {
        throw new HttpError(`${modelText(model)}: its list of files has more than ${MOST_PAGES} pages`, 200);
      }
      const answer = await send(hub, String(input), { refusal: (response) => hubRefusal(response, model, hub) });
      const chunks: Uint8Array[] = [];
      for await (const chunk of bytesOf(answer, hub)) {
        bytes += chunk.byteLength;
        if (bytes > MOST_BYTES) {
          throw new RangeError(`${shownUrl(answer.url)}: a list of files of more than ${MOST_BYTES} bytes`);
        }
        chunks.push(chunk);
      }
      const { status, headers } = answer.response;
      return new Response(Buffer.concat(chunks), { status, headers });
    },
  });
  const files = new Map<string, HubFile>();
  let count = 0;
  try {
    for await (const entry of entries) {
      if (++count > MOST_FILES) throw new HttpError(`${modelText(model)}: it has more than ${MOST_FILES} files`, 200);
      const file = parseEntry(entry);
      if (file) files.set(file.path, file);
    }
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
    throw new HttpError(`${modelText(model)}: its list of files is not one: ${error.message}`, 502, { cause: error });
  }
  return files;
}

function parseEntry(entry: unknown): HubFile | undefined {
  const { type, path, size, oid, lfs } = (entry ?? {}) as Record<string, unknown>;
  if (type !== "file" || typeof path !== "string" || unsafePath(path) !== undefined) return undefined;
  const large = (lfs ?? undefined) as { oid?: unknown; size?: unknown } | undefined;
  const [etag, bytes] = large ? [large.oid, large.size] : [oid, size];
  const isHash = typeof etag === "string" && (large ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(etag);
  if (!isHash || !Number.isSafeInteger(bytes) || (bytes as number) < 0) return undefined;
  return { path, size: bytes as number, etag, hash: large ? "sha256" : "git-sha1" };
}
