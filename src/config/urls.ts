/**
 * The addresses that the gateway is told: where the upstream, the records and the locks are. Checks scheme and
 * shape only; the rooms that connect read the rest. No fault quotes the URL, because each may carry a password.
 */
import { HIDDEN } from "./values.ts";

/** How a store is reached. TLS makes no difference here. */
type StoreKind = "file" | "memory" | "redis" | "unix" | "sentinel" | "cluster";

const STORE_KINDS: ReadonlyMap<string, StoreKind> = new Map([
  ["file", "file"],
  ["memory", "memory"],
  ["redis", "redis"],
  ["rediss", "redis"],
  ["redis+unix", "unix"],
  ["redis+sentinel", "sentinel"],
  ["rediss+sentinel", "sentinel"],
  ["redis+cluster", "cluster"],
  ["rediss+cluster", "cluster"],
]);

const STORE_SCHEMES: readonly string[] = [...STORE_KINDS.keys()].map((scheme) => `${scheme}:`);

/** `host`, `host:port`, `[v6]`, `[v6]:port`. */
const NODE = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?$/u;
/** A query parameter whose value is nobody's business: `password`, `sentinelPassword`, `token` … */
const SECRET_PARAMETER = /([?&][^=&#]*(?:pass|secret|token|auth)[^=&#]*=)[^&#]*/giu;

/** Which kind of store the URL names, judged by its scheme alone. */
export function storeKind(url: string): StoreKind | undefined {
  return STORE_KINDS.get(url.slice(0, Math.max(url.indexOf(":"), 0)).toLowerCase());
}

/** What is wrong with a store URL, or `undefined`. Host lists with commas are fine. */
export function storeUrlFault(url: string): string | undefined {
  const kind = storeKind(url);
  const rest = url.slice(url.indexOf(":") + 1);
  if (/[\s\p{Cc}]/u.test(url)) return "must not contain white space; percent-encode it";
  switch (kind) {
    case undefined:
      return `must begin with one of ${STORE_SCHEMES.join(", ")}`;
    case "memory":
      return rest === "" ? undefined : "memory: stands alone, without anything behind it";
    case "file":
      return /^\/*$/u.test(rest)
        ? "must name a directory: file:./records or file:/var/lib/gateway"
        : undefined;
    default:
      return redisFault(kind, rest);
  }
}

function redisFault(
  kind: "redis" | "unix" | "sentinel" | "cluster",
  rest: string,
): string | undefined {
  const parts = /^\/\/([^/?#]*)([^?#]*)(.*)$/u.exec(rest);
  if (parts === null) return "must continue with // after the scheme";
  const [, authority = "", path = "", query = ""] = parts;
  // An unescaped "@", "/", "?" or "#" in a password would move the host into the path, and the password into messages.
  if (`${path}${query}`.includes("@") || authority.indexOf("@") !== authority.lastIndexOf("@")) {
    return 'has an "@" behind the host; percent-encode "@", "/", "?" and "#" in user and password';
  }
  if (authority.includes(`:${HIDDEN}@`) || query.includes(`=${HIDDEN}`)) {
    return "holds the placeholder that --print-config shows; put the password itself";
  }
  const nodes = authority.slice(authority.indexOf("@") + 1);
  if (kind === "unix") {
    if (nodes !== "")
      return "must have three slashes before the socket's path: redis+unix:///run/redis.sock";
    return path.length > 1 ? undefined : "must name the socket: redis+unix:///run/redis.sock";
  }
  const good = nodes.split(",").every((node) => {
    const match = NODE.exec(node);
    return match !== null && (match[2] === undefined || isPort(Number(match[2])));
  });
  return good
    ? undefined
    : "must name a host: redis://HOST:6379, with several hosts HOST1:6379,HOST2:6379";
}

/** What is wrong with the URL of a lock's server, or `undefined`. */
export function lockNodeFault(url: string): string | undefined {
  const kind = storeKind(url);
  if (kind !== "redis" && kind !== "unix") {
    return "must begin with redis:, rediss: or redis+unix:; the servers of a lock know nothing of each other";
  }
  if (kind === "redis" && hostsOf(url) === "") return "must name a host: redis://HOST:6379";
  const fault = storeUrlFault(url);
  if (fault !== undefined) return fault;
  return hostsOf(url).includes(",")
    ? "must name one host; each server stands in the list by itself"
    : undefined;
}

/** Equal for two URLs of one server: user, password, TLS and database make no other server of it. */
export function lockNodeServer(url: string): string {
  const unix = storeKind(url) === "unix";
  const place = unix ? /\/\/[^/]*(\/[^?#]*)/u.exec(url)?.[1] : hostsOf(url).toLowerCase();
  if (place === undefined || unix) return place ?? url;
  return /:\d+$/u.test(place) ? place : `${place}:6379`;
}

/** What stands between user and path. */
function hostsOf(url: string): string {
  const authority = /^[^:]*:\/\/([^/?#]*)/u.exec(url)?.[1] ?? "";
  return authority.slice(authority.indexOf("@") + 1);
}

/** What is wrong with the upstream's URL, or `undefined`. */
export function upstreamUrlFault(url: string): string | undefined {
  const example = "write it as http://HOST:PORT";
  if (/[\s\\]/u.test(url)) return `must not contain white space or a backslash; ${example}`;
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^[a-z]+:\/\//iu.test(url)) return `must be an origin; ${example}`;
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    return `must begin with http:// or https://; ${example}`;
  }
  if (parsed.username !== "" || parsed.password !== "" || url.includes("@")) {
    return "must not carry user and password: they would be sent with nobody's request; leave them out";
  }
  if (url.includes("?")) return "must not have a query: each request brings its own; leave it out";
  if (url.includes("#")) return "must not have a fragment: it is never sent; leave it out";
  // What is matched and fingerprinted is exactly what is forwarded (design: one canonical form), so no prefix is added.
  if (parsed.pathname !== "/")
    return "must not have a path: requests are forwarded to the path they came for; leave it out";
  if (parsed.port === "0") return "must not have port 0: there is nothing to connect to";
  return undefined;
}

/** What is wrong with the URL of a collector of traces, or `undefined`. Empty is fine: there is none. */
export function tracesUrlFault(url: string): string | undefined {
  if (url === "") return undefined;
  const example = "write it as http://HOST:4318/v1/traces";
  if (/[\s\\]/u.test(url)) return `must not contain white space or a backslash; ${example}`;
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^https?:\/\//iu.test(url)) {
    return `must begin with http:// or https://; ${example}`;
  }
  if (parsed.username !== "" || parsed.password !== "") {
    return "must not carry user and password; what the collector wants to see goes into the variable OTEL_EXPORTER_OTLP_HEADERS";
  }
  if (url.includes("?") || url.includes("#")) return `must end with the path; ${example}`;
  if (parsed.pathname === "/") return `must name the path, which is not guessed; ${example}`;
  return undefined;
}

/** What is wrong with the URL of a webhook, or `undefined`. */
export function webhookUrlFault(url: string): string | undefined {
  const plain = /^https?:\/\/[!-~]+$/u.test(url) && !/[<>"\\@#]/u.test(url) && URL.canParse(url);
  if (!plain) return "must be an http:// or https:// URL without @ and #";
  return url.includes(`=${HIDDEN}`)
    ? "holds the placeholder that --print-config shows; put the value itself"
    : undefined;
}

/** The URL with every password replaced, and nothing else changed. For URLs that passed `storeUrlFault`. */
export function withoutPassword(url: string): string {
  return url
    .replace(/^([a-z+]+:\/\/[^/?#@:]*:)[^/?#@]+@/iu, `$1${HIDDEN}@`)
    .replace(SECRET_PARAMETER, `$1${HIDDEN}`);
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535;
}
