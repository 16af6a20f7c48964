/**
 * Says why a Redis must not be used: it does not answer, is too old, would evict live records, is a replica, or lacks
 * the replicas that claims are to wait for. Asks INFO at most once a second, so that readiness probes are cheap. Changes nothing on the server.
 */
import type { Cluster, Redis } from "ioredis";
import { within } from "./deadline.ts";
import { codeWord } from "./redis-errors.ts";
import type { ReplicaWait } from "./redis-replicas.ts";
import { StoreUnavailable } from "../core/ports.ts";

const INFO_FOR_MS = 1000;

/** A replica tells its primary once a second how far it is; one that has not for so long has stopped. */
const SILENT_AFTER_S = 10;

/** `clients`: the store's, and the one that waits for replicas, where there is one. `lastTrouble`: the word of the last connection error, which says more than "disconnected". */
export function healthCheck(
  [client, ...others]: readonly [Redis | Cluster, ...Redis[]],
  timeoutMs: number,
  replicas: ReplicaWait | undefined,
  lastTrouble: () => string | undefined,
): () => Promise<readonly string[]> {
  let known: { readonly atMs: number; readonly problems: readonly string[] } | undefined;

  async function check(): Promise<readonly string[]> {
    if ([client, ...others].some(({ status }) => status !== "ready")) {
      return [explain(lastTrouble() ?? "connecting")];
    }
    await client.ping();
    if (known !== undefined && performance.now() - known.atMs < INFO_FOR_MS) return known.problems;
    const nodes = "nodes" in client ? client.nodes("master") : [client];
    if (nodes.length === 0) return ["Redis Cluster shows no primary."];
    const found = await Promise.all(
      nodes.map(async (node) => problemsOf(await node.info(), replicas)),
    );
    known = { atMs: performance.now(), problems: [...new Set(found.flat())] };
    return known.problems;
  }

  return async () => {
    try {
      return await within(timeoutMs, check());
    } catch (error) {
      known = undefined;
      if (error instanceof StoreUnavailable) return [error.message];
      const word = codeWord(error);
      return [explain(word === "DISCONNECTED" ? (lastTrouble() ?? word) : word)];
    }
  };
}

function explain(word: string): string {
  switch (word) {
    case "NOPERM":
      return "Redis does not let this user run PING, INFO or the scripts (NOPERM): grant them.";
    case "NOAUTH":
    case "WRONGPASS":
      return `Redis refuses the user or password (${word}): set them in store.url.`;
    default:
      return `Redis does not answer (${word}).`;
  }
}

function problemsOf(info: string, replicas: ReplicaWait | undefined): readonly string[] {
  const field = (name: string): string =>
    new RegExp(`^${name}:(.*?)\\r?$`, "mu").exec(info)?.[1] ?? "unknown";
  const version = field("redis_version");
  const policy = field("maxmemory_policy");
  const role = field("role");
  const problems: string[] = [];
  if (Number.parseInt(version, 10) < 7) {
    problems.push(`Redis ${version} is too old: 7.0 or newer is needed.`);
  }
  if (policy !== "noeviction") {
    problems.push(
      `Redis may evict records (maxmemory-policy is ${policy}): set maxmemory-policy to noeviction.`,
    );
  }
  if (role !== "master") {
    problems.push(`Redis is a ${role}, not a primary: let store.url name the primary.`);
  } else if (replicas !== undefined && awakeReplicas(info) < replicas.wait) {
    problems.push(
      `Redis has ${awakeReplicas(info)} of the ${replicas.wait} replicas that claims wait for (store.replicas.wait).`,
    );
  }
  return problems;
}

/** `slave0:ip=…,port=…,state=online,offset=…,lag=0`, one line each. */
function awakeReplicas(info: string): number {
  return [...info.matchAll(/^slave\d+:.*\bstate=online\b.*\blag=(\d+)/gmu)].filter(
    ([, lag]) => Number(lag) <= SILENT_AFTER_S,
  ).length;
}
