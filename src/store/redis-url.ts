/**
 * Reads a store URL for Redis: one server, a unix socket, Sentinel, or Cluster, each with or without TLS. Opens no
 * connection. No message here quotes a user, a password, or the URL that may hold them.
 */
import { readFileSync } from "node:fs";

export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

export interface RedisTarget {
  readonly where:
    | { readonly kind: "server"; readonly node: RedisNode }
    | { readonly kind: "socket"; readonly path: string }
    | {
        readonly kind: "sentinel";
        readonly nodes: readonly RedisNode[];
        readonly master: string;
        readonly username: string | undefined;
        readonly password: string | undefined;
      }
    | { readonly kind: "cluster"; readonly nodes: readonly RedisNode[] };
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly db: number;
  /** `ca`: PEM of a private authority, from the file that `ca=` names. */
  readonly tls: { readonly ca: string | undefined } | undefined;
}

const DEFAULT_PORTS = { server: 6379, socket: 0, sentinel: 26379, cluster: 6379 } as const;
type Kind = keyof typeof DEFAULT_PORTS;

const SCHEMES: ReadonlyMap<string, { readonly kind: Kind; readonly secure: boolean }> = new Map([
  ["redis", { kind: "server", secure: false }],
  ["rediss", { kind: "server", secure: true }],
  ["redis+unix", { kind: "socket", secure: false }],
  ["redis+sentinel", { kind: "sentinel", secure: false }],
  ["rediss+sentinel", { kind: "sentinel", secure: true }],
  ["redis+cluster", { kind: "cluster", secure: false }],
  ["rediss+cluster", { kind: "cluster", secure: true }],
]);

const URL_PARTS = /^([a-z+]+):\/\/(?:([^@/?#]*)@)?([^@/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/u;

/**
 *     redis://[user:password@]host[:port][/db]            rediss://…[?ca=FILE]
 *     redis+unix://[user:password@]/path/of/socket[?db=N]
 *     redis+sentinel://[user:password@]h1:p1,h2:p2/MASTER[/db][?sentinelUser=…&sentinelPassword=…]
 *     redis+cluster://[user:password@]h1:p1,h2:p2
 *
 * Users and passwords are percent-encoded.
 * @throws Error that says what is wrong and names no secret.
 */
export function parseRedisUrl(url: string): RedisTarget {
  const [, scheme = "", userinfo = "", authority = "", path = "", search = ""] =
    URL_PARTS.exec(url) ?? refuse("it is not of the form scheme://host:port/…");
  const { kind, secure } =
    SCHEMES.get(scheme) ?? refuse(`the scheme is none of ${[...SCHEMES.keys()].join(", ")}`);
  const query = readQuery(kind, secure, search);
  const [username, password] = readUserinfo(userinfo);
  const ca = query.get("ca");
  const target = {
    username,
    password,
    tls: secure ? { ca: ca === undefined ? undefined : readCa(ca) } : undefined,
  };
  if (kind === "socket") {
    if (authority !== "" || path.length < 2) refuse("the path of the socket is missing");
    const where = { kind, path: decode(path) };
    return { ...target, where, db: readDb(query.get("db")) };
  }
  const nodes = authority.split(",").map((node) => readNode(node, DEFAULT_PORTS[kind]));
  const steps = path.split("/").slice(1);
  return kind === "sentinel"
    ? { ...target, ...readSentinel(nodes, steps, query) }
    : { ...target, ...readServers(kind, nodes, steps) };
}

type Place = Pick<RedisTarget, "where" | "db">;

function readSentinel(
  nodes: readonly RedisNode[],
  [master = "", db, ...more]: readonly string[],
  query: ReadonlyMap<string, string>,
): Place {
  if (master === "" || more.length > 0) refuse("Sentinel needs the master's name: …/MASTER/DB");
  const where = {
    kind: "sentinel" as const,
    nodes,
    master: decode(master),
    username: query.get("sentinelUser"),
    password: query.get("sentinelPassword"),
  };
  return { where, db: readDb(db) };
}

function readServers(
  kind: "server" | "cluster",
  nodes: readonly RedisNode[],
  steps: readonly string[],
): Place {
  if (steps.length > 1) refuse("only a database number may follow the host");
  const db = readDb(steps[0]);
  if (kind === "cluster") {
    if (db !== 0) refuse("Redis Cluster has database 0 only");
    return { where: { kind, nodes }, db };
  }
  const [node] = nodes;
  if (node === undefined || nodes.length > 1) {
    refuse("several hosts need redis+sentinel: or redis+cluster:");
  }
  return { where: { kind, node }, db };
}

function readQuery(kind: Kind, secure: boolean, search: string): ReadonlyMap<string, string> {
  const known = [
    ...(secure ? ["ca"] : []),
    ...(kind === "socket" ? ["db"] : []),
    ...(kind === "sentinel" ? ["sentinelUser", "sentinelPassword"] : []),
  ];
  const query = new Map<string, string>();
  for (const pair of search === "" ? [] : search.split("&")) {
    const [name = "", ...value] = pair.split("=");
    if (!known.includes(name) || query.has(name)) {
      refuse(
        known.length === 0
          ? "this kind of URL takes no query parameters"
          : `it takes these query parameters, once each: ${known.join(", ")}`,
      );
    }
    query.set(name, decode(value.join("=")));
  }
  return query;
}

function readUserinfo(userinfo: string): readonly [string | undefined, string | undefined] {
  const colon = userinfo.indexOf(":");
  const user = decode(colon < 0 ? userinfo : userinfo.slice(0, colon));
  const password = colon < 0 ? "" : decode(userinfo.slice(colon + 1));
  return [user === "" ? undefined : user, password === "" ? undefined : password];
}

function readNode(node: string, defaultPort: number): RedisNode {
  const [, v6, name, port] =
    /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/u.exec(node) ?? [];
  const host = v6 ?? name ?? refuse("a host is missing or not of the form host:port");
  const number = port === undefined ? defaultPort : Number(port);
  if (number < 1 || number > 65_535) refuse("a port is not between 1 and 65535");
  return { host, port: number };
}

function readDb(db: string | undefined): number {
  if (db === undefined || db === "") return 0;
  return /^\d{1,5}$/u.test(db) ? Number(db) : refuse("the database is not a number");
}

function readCa(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "no code";
    return refuse(`the file ${file} that ca= names cannot be read (${code})`);
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // The error would quote the text, which may be a password.
    return refuse("a part of it is not percent-encoded as it should be");
  }
}

function refuse(why: string): never {
  throw new Error(`The Redis URL cannot be used: ${why}.`);
}
