/**
 * The claim on Redis: one script, one round trip; where replicas are asked for, a grant counts once they have it.
 * Decides nothing: the script has. A grant that the replicas do not have stays where it is and is the caller's to give
 * back.
 */
import type { ClaimAnswer, ClaimRequest } from "../core/record.ts";
import { asOf } from "../core/record.ts";
import { decodeRecord, decodeSummary } from "./codec.ts";
import { within } from "./deadline.ts";
import { asBytes, asNumber, unexpected } from "./redis-call.ts";
import type { Reply, RunScript } from "./redis-call.ts";
import type { Confirm, ReplicaWait } from "./redis-replicas.ts";
import { summaryAsOf } from "./summary.ts";

/** What a claim needs beyond its script where replicas are asked for. */
export interface Confirmation {
  readonly confirm: Confirm;
  readonly replicas: ReplicaWait;
}

/** A claim settles within `timeoutMs`, and what replicas are given. */
export function claimer(
  run: RunScript,
  timeoutMs: number,
  confirmation: Confirmation | undefined,
): (request: ClaimRequest) => Promise<ClaimAnswer> {
  return async (request) => {
    const startedMs = performance.now();
    const { id, token, fingerprint, method, target, route, leaseMs, unknownRetentionMs } = request;
    const reply = await run(
      "claim",
      id,
      Buffer.from(token, "hex"),
      Buffer.from(fingerprint, "hex"),
      method,
      target,
      route,
      leaseMs,
      unknownRetentionMs,
      request.onUnknown,
    );
    const answer = readClaim(id, reply);
    if (answer.kind === "granted" && confirmation !== undefined) {
      const { confirm, replicas } = confirmation;
      const leftMs = timeoutMs + replicas.timeoutMs - (performance.now() - startedMs);
      await within(leftMs, confirm(id, token));
    }
    return answer;
  };
}

function readClaim(id: string, { word, data }: Reply): ClaimAnswer {
  switch (word) {
    case "granted":
      return { kind: "granted", fence: asNumber(data[0]) };
    case "mismatch": {
      const record = summaryAsOf(decodeSummary(id, asBytes(data[0])), asNumber(data[1]));
      if (record !== undefined) return { kind: "mismatch", record };
      break;
    }
    case "replay": {
      const record = decodeRecord(id, asBytes(data[0]));
      if (record.state === "completed") return { kind: "replay", record };
      break;
    }
    case "busy":
    case "unknown": {
      const nowMs = asNumber(data[1]);
      const record = asOf(decodeRecord(id, asBytes(data[0])), nowMs);
      if (word === "busy" && record?.state === "in-flight") return { kind: word, record, nowMs };
      if (word === "unknown" && record?.state === "unknown") return { kind: word, record };
      break;
    }
  }
  throw unexpected(word);
}
