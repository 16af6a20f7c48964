/**
 * Real Redis servers for tests: one, one behind Sentinel, or a Cluster; each with a directory of its own, on loopback
 * or a unix socket, and gone with the test. Knows nothing of the store.
 */
import { execFile, execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setImmediate as nextTurn } from "node:timers/promises";
import { promisify } from "node:util";
import { freePort } from "./free-port.ts";

export interface Teardown {
  teardown(fn: () => unknown): unknown;
}

export interface RedisOptions {
  /** Further arguments, as on the command line: `["--maxmemory", "5mb"]`. */
  readonly args?: readonly string[];
  /** Lines of an ACL file: `user app on >secret ~* &* +@all`. */
  readonly acl?: readonly string[];
  /** Serves TLS alone, with a certificate of a private authority. */
  readonly tls?: boolean;
  readonly replicaOf?: { readonly port: number; readonly host?: string };
  /** Runs in a network namespace, for all who reach it there. */
  readonly inside?: Inside;
}

export interface Inside {
  /** What the command line begins with. */
  readonly under: readonly string[];
  readonly address: string;
}

export interface RedisServer {
  readonly host: string;
  /** Without user and password; with `ca=` when it serves TLS. */
  readonly url: string;
  readonly port: number;
  /** Path of the unix socket. */
  readonly socket: string;
  readonly pid: number;
  /** Sends a signal; resolves when the process is gone, or at once for SIGSTOP and SIGCONT. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port and directory after `kill`. */
  restart(): Promise<void>;
  /** Runs one command by redis-cli over the unix socket and returns what it prints. */
  cli(...command: string[]): Promise<string>;
}

const run = promisify(execFile);

const LOOPBACK = "127.0.0.1";
const UNPROTECTED = ["--protected-mode", "no"];

export async function startRedis(t: Teardown, options: RedisOptions = {}): Promise<RedisServer> {
  const { inside } = options;
  const dir = tempDir(t);
  const socket = join(dir, "s");
  const port = await freePort();
  const ca = options.tls ? certify(dir) : undefined;
  if (options.acl) writeFileSync(join(dir, "users.acl"), `${options.acl.join("\n")}\n`);
  const args = [
    ...["--dir", dir, "--unixsocket", socket, "--save", ""],
    ...(inside === undefined ? ["--bind", LOOPBACK] : ["--bind", "0.0.0.0", ...UNPROTECTED]),
    ...["--repl-diskless-sync-delay", "0"],
    ...(options.acl ? ["--aclfile", join(dir, "users.acl")] : []),
    ...(options.replicaOf
      ? ["--replicaof", options.replicaOf.host ?? LOOPBACK, String(options.replicaOf.port)]
      : []),
    ...(ca === undefined ? ["--port", String(port)] : tlsArgs(dir, port)),
    ...(options.args ?? []),
  ];
  const host = inside?.address ?? LOOPBACK;
  let server = await launch(t, args, inside);
  return {
    host,
    url: ca === undefined ? `redis://${host}:${port}/0` : `rediss://localhost:${port}/0?ca=${ca}`,
    port,
    socket,
    get pid() {
      return server.pid ?? 0;
    },
    async kill(signal = "SIGKILL") {
      server.kill(signal);
      if (signal !== "SIGSTOP" && signal !== "SIGCONT") await exited(server);
    },
    async restart() {
      server = await launch(t, args, inside);
    },
    cli: async (...command) => (await run("redis-cli", ["-s", socket, ...command])).stdout.trim(),
  };
}

/** A primary, a replica that has caught up, and a Sentinel that watches them as `records`. */
export async function startSentinel(t: Teardown): Promise<{
  readonly port: number;
  readonly primary: RedisServer;
  readonly replica: RedisServer;
  /** Sentinel promotes the replica; resolves when it says so and the old primary has become a replica. */
  failover(): Promise<void>;
  /** Resolves when Sentinel names the replica as the primary. */
  promoted(): Promise<void>;
}> {
  const primary = await startRedis(t);
  const replica = await startRedis(t, { replicaOf: primary });
  await until(async () => /master_link_status:up/u.test(await replica.cli("INFO", "replication")));
  const sentinel = await startSentinelServer(t, primary, 1);
  const { port } = sentinel;
  const cli = (...command: string[]): Promise<string> => sentinel.cli(...command);
  await until(async () => /num-slaves\n1\n/u.test(await cli("SENTINEL", "MASTER", "records")));
  const promoted = (): Promise<void> => {
    const isReplica = new RegExp(`\\b${replica.port}\\b`, "u");
    return until(async () =>
      isReplica.test(await cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "records")),
    );
  };
  return {
    port,
    primary,
    replica,
    promoted,
    async failover() {
      await until(async () => (await cli("SENTINEL", "FAILOVER", "records")).startsWith("OK"));
      await promoted();
      // A server that changes its role drops its clients, this one included.
      const role = (): Promise<string> => primary.cli("INFO", "replication").catch(() => "dropped");
      await until(async () => /role:slave/u.test(await role()));
    },
  };
}

/** One Sentinel that watches a primary as `records`, with periods that a test has time for. */
export async function startSentinelServer(
  t: Teardown,
  primary: { readonly host: string; readonly port: number },
  quorum: number,
  inside?: Inside,
): Promise<{ readonly port: number; cli(...command: string[]): Promise<string> }> {
  const dir = tempDir(t);
  const port = await freePort();
  const config = join(dir, "sentinel.conf");
  const lines = [
    `port ${port}`,
    ...(inside === undefined ? [`bind ${LOOPBACK}`] : ["bind 0.0.0.0", "protected-mode no"]),
    `dir ${dir}`,
    `unixsocket ${join(dir, "s")}`,
    `sentinel monitor records ${primary.host} ${primary.port} ${quorum}`,
    "sentinel down-after-milliseconds records 1000",
    "sentinel failover-timeout records 5000",
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  await launch(t, [config, "--sentinel"], inside, /Sentinel ID is|\+monitor master/u);
  const cli = async (...command: string[]): Promise<string> =>
    (await run("redis-cli", ["-s", join(dir, "s"), ...command])).stdout;
  // It asks its servers every ten seconds, and pings them every second.
  const periods = ["INFO-PERIOD", "PING-PERIOD", "PUBLISH-PERIOD"];
  await cli("SENTINEL", "DEBUG", ...periods.flatMap((period) => [period, "200"]));
  return { port, cli };
}

/** Three primaries that share the slots, and behind them, where asked for, a replica of the first. */
export async function startCluster(
  t: Teardown,
  { replica = false }: { readonly replica?: boolean } = {},
): Promise<readonly RedisServer[]> {
  const args = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
  const nodes = await Promise.all([0, 1, 2].map(() => startRedis(t, { args })));
  const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`);
  await run("redis-cli", ["--cluster", "create", ...hosts, "--cluster-yes"]);
  await Promise.all(nodes.map(clusterIsUp));
  const [first] = nodes;
  if (!replica || first === undefined) return nodes;
  const copy = await startRedis(t, { args });
  await copy.cli("CLUSTER", "MEET", "127.0.0.1", String(first.port));
  await clusterIsUp(copy);
  await copy.cli("CLUSTER", "REPLICATE", await first.cli("CLUSTER", "MYID"));
  await until(async () => /master_link_status:up/u.test(await copy.cli("INFO", "replication")));
  return [...nodes, copy];
}

export function clusterIsUp(node: RedisServer): Promise<void> {
  return until(async () => (await node.cli("CLUSTER", "INFO")).includes("cluster_state:ok"));
}

/** Asks again until it is so, once per turn of the event loop, so that what it asks about can happen. */
export async function until(question: () => Promise<boolean>): Promise<void> {
  while (!(await question())) await nextTurn();
}

async function launch(
  t: Teardown,
  args: readonly string[],
  inside?: Inside,
  ready = /Ready to accept connections/u,
): Promise<ChildProcess> {
  const [command = "", ...words] = [...(inside?.under ?? []), "redis-server", ...args];
  const server = spawn(command, words, { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(async () => {
    server.kill("SIGKILL");
    await exited(server);
  });
  const said: string[] = [];
  for await (const line of createInterface({ input: server.stdout })) {
    said.push(line);
    if (!ready.test(line)) continue;
    server.stdout.resume();
    return server;
  }
  throw new Error(`redis-server did not start:\n${said.join("\n")}`);
}

async function exited(server: ChildProcess): Promise<void> {
  if (server.exitCode === null && server.signalCode === null) await once(server, "exit");
}

function tempDir(t: Teardown): string {
  const dir = mkdtempSync(join(tmpdir(), "redis-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** An authority and a certificate for localhost; returns the authority's file. */
function certify(dir: string): string {
  const openssl = (...args: string[]): unknown =>
    execFileSync("openssl", args, { cwd: dir, stdio: "ignore" });
  writeFileSync(join(dir, "san"), "subjectAltName=DNS:localhost,IP:127.0.0.1");
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca");
  openssl("req", ...key, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=localhost");
  const sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san"];
  openssl("x509", "-req", "-in", "tls.csr", ...sign, "-out", "tls.pem");
  return join(dir, "ca.pem");
}

function tlsArgs(dir: string, port: number): string[] {
  return [
    ...["--port", "0", "--tls-port", String(port), "--tls-auth-clients", "no"],
    ...["--tls-cert-file", join(dir, "tls.pem"), "--tls-key-file", join(dir, "tls.key")],
    ...["--tls-ca-cert-file", join(dir, "ca.pem")],
  ];
}
