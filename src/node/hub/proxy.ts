/** The proxies that the environment names, as curl and Python take them: HTTP_PROXY, HTTPS_PROXY and NO_PROXY. */

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * `fetch` by way of the proxies of HTTP_PROXY (for http addresses) and HTTPS_PROXY (for https), but for the hosts of
 * NO_PROXY: names, which stand for all that ends in them as well, with a port where one alone is meant, or `*`. Each in
 * lower case too, which goes first. What is behind HTTPS_PROXY is reached through a tunnel, and seen by nobody.
 * @throws RangeError for a proxy that is no http address; its password is in no message
 */
export async function proxiedFetch(env: Environment = process.env): Promise<typeof globalThis.fetch> {
  const proxies = new Map<string, typeof globalThis.fetch>();
  for (const scheme of ["http", "https"]) {
    const proxy = proxyOf(scheme, env);
    if (proxy) proxies.set(`${scheme}:`, await fetchThrough(proxy, noProxyOf(env)));
  }
  if (proxies.size === 0) return globalThis.fetch;
  return (input, init) => {
    const { protocol } = new URL(input instanceof Request ? input.url : input);
    return (proxies.get(protocol) ?? globalThis.fetch)(input, init);
  };
}

interface Proxy {
  readonly url: URL;
  /** The variable that names it. */
  readonly variable: string;
}

function proxyOf(scheme: string, env: Environment): Proxy | undefined {
  const lower = `${scheme}_proxy`;
  const variable = env[lower] === undefined ? lower.toUpperCase() : lower;
  const text = env[variable]?.trim();
  if (!text) return undefined;
  const given = /^\w+:\/\//.test(text) ? text : `http://${text}`;
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url && /^https?:$/.test(url.protocol)) return { url, variable };
  throw new RangeError(`${variable} is not the address of an http proxy, such as http://proxy.example:3128`);
}

/** Comma-separated, as undici reads it, with the brackets that a bare IPv6 address lacks. */
function noProxyOf(env: Environment): string {
  const entries = (env.no_proxy ?? env.NO_PROXY ?? "").split(/[,\s]+/).filter(Boolean);
  if (entries.includes("*")) return "*";
  return entries.map((entry) => (/^[\da-f]*:[\da-f:.]*:[\da-f:.]*$/i.test(entry) ? `[${entry}]` : entry)).join();
}

/** What has a percent sign of its own is taken as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function fetchThrough({ url, variable }: Proxy, noProxy: string): Promise<typeof globalThis.fetch> {
  // here, since it takes as long to load as all the rest of the command, and few have a proxy
  const { EnvHttpProxyAgent, fetch } = await import("undici");
  const { username, password, origin } = url;
  const login = Buffer.from(`${decoded(username)}:${decoded(password)}`).toString("base64");
  const dispatcher = new EnvHttpProxyAgent({
    httpProxy: origin,
    httpsProxy: origin,
    noProxy,
    proxyTunnel: false, // of https it makes one all the same; many proxies allow it for nothing else
    ...((username || password) && { token: `Basic ${login}` }),
  });
  const through = async (...[input, init]: Parameters<typeof fetch>): ReturnType<typeof fetch> => {
    try {
      return await fetch(input, { ...init, dispatcher });
    } catch (error) {
      if (init?.signal?.aborted) throw error;
      let reason = "";
      // a proxy's refusal lies deepest
      for (let deeper = error; deeper instanceof Error; deeper = deeper.cause) reason = deeper.message || reason;
      // as fetch itself puts it
      throw new TypeError("fetch failed", {
        cause: new Error(`${reason} (${variable} is ${origin})`, { cause: error }),
      });
    }
  };
  return through as unknown as typeof globalThis.fetch; // the same standard; only the types are declared twice
}
