/** What the environment says about the hub: the variables, and the defaults, of Python's huggingface_hub. */

import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { HUB_ENDPOINT } from "../../files/hub.ts";

export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly cacheDir: string;
  readonly offline: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * HF_ENDPOINT, HF_TOKEN or the token file of HF_HOME, HF_HUB_CACHE or the cache of HF_HOME, HF_HUB_OFFLINE; what is given
 * goes before them.
 * @throws RangeError for an endpoint or a token that could not be sent
 */
export async function hubSettings(
  given: { [K in keyof HubSettings]?: HubSettings[K] | undefined } = {},
  env: Environment = process.env,
): Promise<HubSettings> {
  return {
    endpoint: endpointOf(given.endpoint ?? (env.HF_ENDPOINT || HUB_ENDPOINT)),
    token: tokenOf(given.token ?? (await environmentToken(env))),
    cacheDir: given.cacheDir === undefined ? hubCacheDir(env) : resolve(given.cacheDir),
    offline: given.offline ?? (isTrue(env.HF_HUB_OFFLINE) || isTrue(env.TRANSFORMERS_OFFLINE)),
  };
}

/** Where downloaded models lie. */
export function hubCacheDir(env: Environment = process.env): string {
  const named = env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE;
  return named ? resolve(atHome(named)) : join(hubHome(env), "hub");
}

function hubHome(env: Environment): string {
  return resolve(atHome(env.HF_HOME || join(env.XDG_CACHE_HOME || "~/.cache", "huggingface")));
}

async function environmentToken(env: Environment): Promise<string | undefined> {
  if (isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  const named = env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN;
  if (named) return named;
  const file = env.HF_TOKEN_PATH ? resolve(atHome(env.HF_TOKEN_PATH)) : join(hubHome(env), "token");
  return readFile(file, "utf8").catch(() => undefined); // nobody has logged in here
}

function tokenOf(text: string | undefined): string | undefined {
  const token = text?.trim();
  if (!token) return undefined;
  // nothing else can stand in a header; the token itself must not appear in a message
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new RangeError("the hub's token (HF_TOKEN, or the file that holds it) has characters that no token has");
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash)
    return text.replace(/\/+$/, "");
  // what may be a password, or a signature, is not repeated
  const shown = JSON.stringify(text.replace(/^(\w+:\/*)?.*@|[?#].*$/gs, "$1"));
  throw new RangeError(`${shown} is not the address of a hub (HF_ENDPOINT), such as ${HUB_ENDPOINT}`);
}

const atHome = (path: string): string => (/^~(?=$|[\\/])/.test(path) ? join(homedir(), path.slice(1)) : path);

const isTrue = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? "");
