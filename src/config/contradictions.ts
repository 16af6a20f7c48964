/**
 * What cannot hold together although each value alone is fine: between the sections here, within a policy in
 * `policy-contradictions.ts`. Each message gives the reason and the way out.
 */
import { isIP } from "node:net";
import { DEFAULTS } from "./defaults.ts";
import type { FileConfig } from "./file-schema.ts";
import { leaseOf } from "./lease.ts";
import { policyContradictions } from "./policy-contradictions.ts";
import type { Contradiction } from "./problems.ts";
import { localMemory } from "./resource-contradictions.ts";
import { placeContradictions } from "./secret-places.ts";
import { formatDuration, parseDuration } from "./units.ts";
import { storeKind } from "./urls.ts";
import { webhookContradictions } from "./webhook.ts";

type Sections = ReturnType<typeof sectionsOf>;

/** All contradictions of a file that is sound key by key, in the order of the sections. */
export function contradictions(file: FileConfig): readonly Contradiction[] {
  const sections = sectionsOf(file);
  return [
    ...upstreamContradictions(sections),
    ...storeContradictions(sections),
    ...encryptionContradictions(sections),
    ...leaseContradictions(file),
    ...lockContradictions(sections),
    ...quotaContradictions(file),
    ...portContradictions(sections),
    ...showContradictions(sections),
    ...webhookContradictions(file),
    ...policyContradictions(file),
    ...localMemory(file, sections.store.url),
  ];
}

/** Drops what rests on a faulty value: `cut` are the paths that were removed from the file. */
export function certain(
  found: readonly Contradiction[],
  cut: readonly string[],
): readonly Contradiction[] {
  return found.filter(({ path, reads }) =>
    [path, ...reads]
      // What a route does not say itself it has from the defaults.
      .flatMap((read) => [read, read.replace(/^routes\[\d+\]\./u, "defaults.")])
      .every((read) => cut.every((faulty) => !touches(read, faulty))),
  );
}

/** Whether the one path is the other, or leads into it. */
function touches(read: string, faulty: string): boolean {
  return (
    `${read}.`.startsWith(`${faulty}.`) ||
    `${faulty}.`.startsWith(`${read}.`) ||
    faulty.startsWith(`${read}[`)
  );
}

function sectionsOf(file: FileConfig) {
  return {
    listen: { ...DEFAULTS.listen, ...file.listen },
    upstream: { ...DEFAULTS.upstream, ...file.upstream },
    store: { ...DEFAULTS.store, replicas: undefined, encryption: undefined, ...file.store },
    locks: { ...DEFAULTS.locks, ...file.locks },
    admin: { ...DEFAULTS.admin, ...file.admin },
    workers: file.workers ?? DEFAULTS.workers,
  };
}

function upstreamContradictions({ upstream, listen }: Sections): Contradiction[] {
  const found: Contradiction[] = [];
  if (ms(upstream.connectTimeout) > ms(upstream.timeout)) {
    found.push({
      path: "upstream.connectTimeout",
      message: `must be at most upstream.timeout (${upstream.timeout}), which bounds the whole call, connecting included`,
      reads: ["upstream.timeout"],
    });
  }
  const url = new URL(upstream.url);
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  const host = url.hostname.replace(/^\[|\]$/gu, "");
  if (port === listen.port && sameInterface(host, listen.host)) {
    found.push({
      path: "upstream.url",
      message:
        "must not be the gateway's own address (listen): it would forward every request to itself",
      reads: ["listen.host", "listen.port"],
    });
  }
  return found;
}

function storeContradictions({ store, workers }: Sections): Contradiction[] {
  const found: Contradiction[] = [];
  const kind = storeKind(store.url);
  if (kind === "memory" && workers > 1) {
    found.push({
      path: "store.url",
      message:
        "must not be memory: with more than one worker: each would keep records of its own and a retry could run again; use file: or redis:, or workers 1",
      reads: ["workers"],
    });
  }
  const replicasPath = "store.replicas";
  if (store.replicas !== undefined && (kind === "file" || kind === "memory")) {
    found.push({
      path: replicasPath,
      message: `must be left out with a ${kind}: store: only Redis has replicas`,
      reads: ["store.url"],
    });
  }
  if (store.replicas !== undefined && kind === "cluster") {
    found.push({
      path: replicasPath,
      message:
        "must be left out with a Cluster URL: replicas are waited for on the claim's own connection, and a Cluster client chooses connections itself",
      reads: ["store.url"],
    });
  }
  return found;
}

function encryptionContradictions({ store }: Sections): Contradiction[] {
  const { encryption } = store;
  if (encryption === undefined) return [];
  const found: Contradiction[] = [];
  const tell = (path: string, message: string, ...reads: string[]) =>
    found.push({ path: `store.encryption${path}`, message, reads });
  if (storeKind(store.url) === "memory") {
    tell("", "must be left out with a memory: store, which writes nothing anywhere", "store.url");
  }
  const keys = encryption.keys ?? [];
  if (keys.length === 0) tell(".keys", "is required: at least one key");
  for (const [index, { id, ...place }] of keys.entries()) {
    const at = `.keys[${index}]`;
    if (id === undefined) tell(`${at}.id`, "is required: it names the key in the records");
    const twin = keys.findIndex((key) => id !== undefined && key.id === id);
    if (twin !== index && twin !== -1) {
      tell(`${at}.id`, `is the id of store.encryption.keys[${twin}] already; ids must differ`);
    }
    found.push(...placeContradictions(place, `store.encryption${at}`, "the key"));
  }
  return found;
}

function leaseContradictions(file: FileConfig): Contradiction[] {
  const given = file.store?.lease;
  const { leastMs, sum, reads } = leaseOf(file);
  // Written so that a sum that cannot be told (NaN) tells nothing.
  if (given === undefined || !(ms(given) < leastMs)) return [];
  return [
    {
      path: "store.lease",
      message: `must be at least ${formatDuration(leastMs)} = ${sum}: a claim must outlive the longest permitted call`,
      reads,
    },
  ];
}

function lockContradictions({ locks }: Sections): Contradiction[] {
  const { length } = locks.nodes;
  if (length === 0 || length % 2 === 1) return [];
  return [
    {
      path: "locks.nodes",
      message: `must be an odd number of servers: a lock is held by more than half of them, and ${length} survive no more failures than ${length - 1} do`,
      reads: [],
    },
  ];
}

function quotaContradictions({ quotas }: FileConfig): Contradiction[] {
  if (quotas?.newKeys === undefined || quotas.newKeys.perSecond !== undefined) return [];
  const message = "is required with quotas.newKeys: how many new keys a caller may use in a second";
  return [{ path: "quotas.newKeys.perSecond", message, reads: [] }];
}

function portContradictions({ listen, admin }: Sections): Contradiction[] {
  if (listen.port !== admin.port || listen.port === 0) return [];
  if (!sameInterface(listen.host, admin.host)) return [];
  return [
    {
      path: "admin.port",
      message: `must differ from listen.port (${listen.port}): clients and operators have separate ports`,
      reads: ["listen.port", "listen.host", "admin.host"],
    },
  ];
}

/** A token from the environment counts: by now it stands where the file's would. */
function showContradictions({ admin }: Sections): Contradiction[] {
  if (!admin.showAnswers || admin.token !== "") return [];
  return [
    {
      path: "admin.showAnswers",
      message:
        "must be false without an admin.token: recorded answers are for people who were given one",
      reads: ["admin.token"],
    },
  ];
}

/** Would a socket bound to the one be reached at the other? Names that are not resolved here count as different. */
function sameInterface(a: string, b: string): boolean {
  if (a.toLowerCase() === b.toLowerCase() || (isAny(a) && isAny(b))) return true;
  return (isAny(a) && isLoopback(b)) || (isAny(b) && isLoopback(a));
}

function isAny(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function ms(duration: string): number {
  // Sound values only: NaN compares false and so tells nothing.
  return parseDuration(duration) ?? Number.NaN;
}
