/**
 * Pages through the records of a Redis by SCAN, every primary of a Cluster in turn. SCAN returns whole buckets, so a
 * page that is full goes on inside the same bucket; a record that is there all the time is listed at least once.
 */
import type { Cluster, Redis } from "ioredis";
import type { ListPage, ListQuery } from "../core/ports.ts";
import { pageOf, type Listed } from "./summary.ts";

/** Where the next page starts: which primary, SCAN's cursor there, and behind which id of its answer. */
interface Place {
  readonly node: number;
  readonly scan: string;
  readonly after: string;
}

const START: Place = { node: 0, scan: "0", after: "" };

export function lister(
  client: Redis | Cluster,
  keyPrefix: string,
  listed: (id: string) => Promise<Listed>,
): (query: ListQuery) => Promise<ListPage> {
  const match = `${keyPrefix.replaceAll(/[\\*?[\]^]/gu, "\\$&")}{*}`;

  return async (query) => {
    const { limit, cursor } = query;
    const { node, scan, after } = cursor === undefined ? START : readCursor(cursor);
    const nodes = primaries(client);
    const source = nodes[node];
    if (source === undefined) return { records: [] };
    const [nextScan, keys] = await source.scan(scan, "MATCH", match, "COUNT", limit);
    const ids = [...new Set(keys.map((key) => key.slice(keyPrefix.length + 1, -1)))]
      .filter((id) => /^[0-9a-f]{64}$/u.test(id) && id > after)
      .sort();
    const page = ids.slice(0, limit);
    const found = pageOf(await Promise.all(page.map(listed)), query);
    if (page.length < ids.length) {
      return { ...found, cursor: writeCursor({ node, scan, after: page.at(-1) ?? after }) };
    }
    if (nextScan !== "0")
      return { ...found, cursor: writeCursor({ node, scan: nextScan, after: "" }) };
    if (node + 1 < nodes.length) {
      return { ...found, cursor: writeCursor({ ...START, node: node + 1 }) };
    }
    return found;
  };
}

/** In one order for all pages. */
function primaries(client: Redis | Cluster): readonly Redis[] {
  if (!("nodes" in client)) return [client];
  return client.nodes("master").sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
}

const nameOf = ({ options }: Redis): string => `${options.host}:${options.port}`;

const writeCursor = ({ node, scan, after }: Place): string => `${node}.${scan}.${after}`;

function readCursor(cursor: string): Place {
  const [, node, scan, after] = /^(\d{1,4})\.(\d{1,20})\.([0-9a-f]{0,64})$/u.exec(cursor) ?? [];
  // Not one of ours, so there is no page behind it.
  if (scan === undefined) return { ...START, node: Number.MAX_SAFE_INTEGER };
  return { node: Number(node), scan, after: after ?? "" };
}
