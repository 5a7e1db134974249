/** The Hugging Face hub as a web site: names, addresses, refusals; and a model of it as a folder, for browsers. */
import type { Folder } from "./bytes.ts";
import { unsafePath } from "./bytes.ts";
import { type HttpOptions, httpFolder, pathInUrl, READING } from "./http.ts";
import { requireKnown } from "./options.ts";
import { HttpError, isTransient, reach, readBody, retrying, statusError } from "./request.ts";

/** The hub's own address; mirrors and private hubs have others. */
export const HUB_ENDPOINT = "https://huggingface.co";

export interface HubModel {
  /** `org/name`; a few old models have no organisation. */
  readonly name: string;
  /** Branch, tag or commit. */
  readonly revision: string;
}

export interface HubFolderOptions extends Omit<HttpOptions, "headers" | "refusal"> {
  /** Branch, tag or commit. Default main. */
  readonly revision?: string | undefined;
  /** Default https://huggingface.co. */
  readonly endpoint?: string | undefined;
  /** Of an account that may read the model. Browsers do not send it on to another host, as the Fetch standard asks. */
  readonly token?: string | undefined;
}

/** Bytes. What the hub says about a model is JSON with a line per file. */
const MOST_INFO = 67_108_864;

/** A commit's full name: what it names never changes. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/**
 * Checks the parts of a model's name, which become parts of addresses and paths.
 * @throws RangeError for what the hub would not take as a name or a revision
 */
export function hubModel(name: string, revision: string = "main"): HubModel {
  const bad = (what: string): never => {
    throw new RangeError(
      `${JSON.stringify(name)} is not the name of a model: ${what}; write org/name or org/name@revision`,
    );
  };
  const parts = name.split("/");
  if (parts.length > 2) bad("it has more than one slash");
  if (name.length > 96) bad(`it has ${name.length} characters, at most 96`);
  for (const part of parts) {
    if (!/^[\w.-]+$/.test(part)) bad("letters, digits, - _ . are allowed on either side of the slash");
    if (/^[.-]|[.-]$|--|\.\.|\.git$/.test(part))
      bad(`${JSON.stringify(part)} begins or ends with . or -, or has -- or ..`);
  }
  const reason = unsafePath(revision) ?? (/^[\w./+-]{1,200}$/.test(revision) ? undefined : "it has other characters");
  if (reason !== undefined) {
    throw new RangeError(
      `revision ${JSON.stringify(revision)} of ${name} is not a branch, a tag or a commit: ${reason}`,
    );
  }
  return { name, revision };
}

/** For messages: as it is written on the command line. */
export function modelText({ name, revision }: HubModel): string {
  return revision === "main" ? name : `${name}@${revision}`;
}

/** Address of a file. @param path within the repository, `/` between its parts */
export function fileUrl(endpoint: string, { name, revision }: HubModel, path: string): string {
  return `${endpoint}/${name}/resolve/${encodeURIComponent(revision)}/${pathInUrl(path)}`;
}

/** What a refusal of the hub means, and what to do about it. */
export function hubRefusal(
  response: Response,
  model: HubModel,
  { endpoint, token }: { endpoint: string; token?: string | undefined },
): HttpError {
  const { status, headers } = response;
  const code = headers.get("x-error-code");
  const page = `${endpoint}/${model.name}`;
  const say = (what: string): HttpError => new HttpError(`${modelText(model)}: ${what}`, status);
  if (code === "GatedRepo" || (status === 403 && code === null)) {
    return token === undefined
      ? say(`it is gated (${status}): accept its licence at ${page}, then set HF_TOKEN to a token of that account`)
      : say(
          `it is gated (${status}): accept its licence at ${page} with the account of your token, which must have read access`,
        );
  }
  if (status === 401) {
    return token === undefined
      ? say(
          `there is no such public model (401): check the name; if it is private, set HF_TOKEN to a token that may read it`,
        )
      : say(
          `the token is not accepted (401), or there is no such model: check the name, and the token in HF_TOKEN at ${endpoint}/settings/tokens`,
        );
  }
  if (status === 403) return say(`the token may not read it (403): give it access at ${endpoint}/settings/tokens`);
  if (status === 404 && code === "RevisionNotFound") {
    return say(
      `there is no revision ${JSON.stringify(model.revision)} (404): see ${page}/tree/main for branches and tags`,
    );
  }
  if (status === 404 && code === "EntryNotFound")
    return say("there is no config.json (404): is it a transformers model?");
  if (status === 404) return say(`there is no such model at ${endpoint} (404): check the name`);
  return statusError(response, response.url || page);
}

/**
 * A model of the hub, read by ranges with `fetch`. A branch or tag is looked up once, at the first `open`; from then on
 * everything comes from that commit, so that a cache never mixes two of them. With a cache, what was read once can be
 * read again without a network.
 * @throws RangeError for what is no name, TypeError for an unknown option; its `open` rejects with HttpError where the hub refuses
 */
export function hubFolder(name: string, options: HubFolderOptions = {}): Folder {
  requireKnown("hubFolder", options, { revision: 1, endpoint: 1, token: 1, ...READING });
  const { revision, endpoint: given = HUB_ENDPOINT, token, ...http } = options;
  const endpoint = given.replace(/\/+$/, "");
  const model = hubModel(name, revision);
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };

  const folderAt = ({ commit, files }: Snapshot): Folder =>
    httpFolder(`${endpoint}/${model.name}/resolve/${commit}/`, {
      ...http,
      files: http.files ?? files,
      headers,
      refusal: (response) => hubRefusal(response, model, { endpoint, token }),
    });

  async function findSnapshot(): Promise<Snapshot> {
    const url = `${endpoint}/api/models/${model.name}/revision/${encodeURIComponent(model.revision)}`;
    const { cache, signal, fetch = globalThis.fetch, retry } = http;
    try {
      const text = await retrying(
        async () => {
          const response = await reach(fetch, url, { headers, ...(signal && { signal }) });
          if (!response.ok) throw hubRefusal(response, model, { endpoint, token });
          const text = new TextDecoder().decode(await readBody(response, MOST_INFO, url, signal));
          if (snapshotIn(text)) return text;
          throw new HttpError(`${url}: the answer names no commit: is ${endpoint} a hub?`, response.status);
        },
        { ...retry, signal },
      );
      await cache?.put(url, new Response(text)).catch(() => {}); // no room: then without
      return snapshotIn(text)!;
    } catch (error) {
      const known = isTransient(error) ? await cache?.match(url) : undefined;
      const snapshot = known && snapshotIn(await known.text());
      if (!snapshot) throw error;
      return snapshot;
    }
  }

  let found: Promise<Folder> | undefined;
  return {
    name: modelText(model),
    async open(path) {
      found ??= (
        isCommit(model.revision) ? Promise.resolve({ commit: model.revision, files: undefined }) : findSnapshot()
      ).then(folderAt);
      const folder = await found.catch((error: unknown) => {
        found = undefined; // the next one tries again
        throw error;
      });
      return folder.open(path);
    },
  };
}

interface Snapshot {
  readonly commit: string;
  /** Paths, where the hub lists them. */
  readonly files: readonly string[] | undefined;
}

/** From the hub's description of a model; `undefined` when it is something else, such as a proxy's page. */
function snapshotIn(text: string): Snapshot | undefined {
  try {
    const { sha, siblings } = JSON.parse(text) as { sha?: unknown; siblings?: unknown };
    if (typeof sha !== "string" || !isCommit(sha)) return undefined;
    const listed = Array.isArray(siblings) ? (siblings as { rfilename?: unknown }[]) : undefined;
    const files = listed?.map((file) => file?.rfilename);
    return { commit: sha, files: files?.every((path) => typeof path === "string") ? (files as string[]) : undefined };
  } catch {
    return undefined;
  }
}
