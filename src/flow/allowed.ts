/**
 * What stands around a claim where the configuration says so: how many new keys a caller may use, and whether it may be
 * told of what is recorded. A retry of a known key is never over the quota; a request that executes is never asked about.
 */
import type { Quota, Rights } from "../core/access-ports.ts";
import type { Admitted } from "./admit.ts";
import type { Claimed } from "./claimed.ts";
import type { FlowDeps } from "./deps.ts";
import { isKnown } from "./known.ts";

/** One is taken before the claim and given back where no new key was used, so that not even a burst is over it. */
export async function withinQuota(
  scope: string,
  id: string,
  quota: Quota | undefined,
  deps: Pick<FlowDeps, "store">,
  claimKey: (waits?: () => void) => Promise<Claimed>,
): Promise<Claimed> {
  if (quota === undefined) return claimKey();
  const retryAfterMs = quota.take(scope);
  if (retryAfterMs !== undefined) {
    const known = await isKnown(id, deps);
    if (known === "no") return { kind: "over-quota", retryAfterMs, cause: "new-keys" };
    if (known !== "yes") return known;
  }
  let held = retryAfterMs === undefined;
  const giveBack = (): void => {
    if (held) quota.giveBack(scope);
    held = false;
  };
  // A duplicate that waits for the first request may wait for long, and is no new key.
  const claimed = await claimKey(giveBack);
  if (claimed.kind !== "granted" || claimed.owned.fence > 1) giveBack();
  // What was known is over by now, and the key is a new one after all.
  else if (!held) quota.owe(scope);
  return claimed;
}

/** Whatever tells something of a record: a replay, and what it was first used for. */
const TELLS: ReadonlySet<Claimed["kind"]> = new Set(["replay", "busy", "mismatch", "unknown"]);

export async function mayBeTold(
  { policy, method, target, headers }: Pick<Admitted, "policy" | "method" | "target" | "headers">,
  claimed: Claimed,
  rights: Rights | undefined,
): Promise<Claimed> {
  const { authorize } = policy.replay;
  if (authorize === undefined || !TELLS.has(claimed.kind)) return claimed;
  if (rights === undefined) throw new TypeError("a route has replay.authorize, and nobody asks");
  const credentials = policy.scopeHeaders;
  const answer = await rights.mayBeTold(authorize, { method, target, headers, credentials });
  switch (answer.kind) {
    case "yes":
      return claimed;
    case "no":
      return { kind: "denied" };
    case "unchecked":
      return answer;
  }
}
