/**
 * The claim on Redis: one script, one round trip; where replicas are asked for, a grant counts once they have it.
 * Decides nothing: the script has. A grant that the replicas do not have stays where it is and is the caller's to give
 * back.
 */
import { StoreUnavailable } from "../core/ports.ts";
import type { ClaimAnswer, ClaimRequest } from "../core/record.ts";
import { asOf } from "../core/record.ts";
import { decodeRecord, decodeSummary } from "./codec.ts";
import { within } from "./deadline.ts";
import type { Keyring } from "./encryption.ts";
import { asBytes, asNumber, unexpected } from "./redis-call.ts";
import type { Reply, RunScript } from "./redis-call.ts";
import type { ServerClock } from "./redis-clock.ts";
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
  clock: ServerClock,
  timeoutMs: number,
  confirmation: Confirmation | undefined,
  keyring: Keyring | undefined,
): (request: ClaimRequest) => Promise<ClaimAnswer> {
  return async (request) => {
    const startedMs = performance.now();
    const reply = await within(timeoutMs, askInTime(request, startedMs));
    const answer = readClaim(request.id, reply, keyring);
    if (answer.kind === "granted" && confirmation !== undefined) {
      const { confirm, replicas } = confirmation;
      const leftMs = timeoutMs + replicas.timeoutMs - (performance.now() - startedMs);
      await within(leftMs, confirmed(confirm, request));
    }
    return answer;
  };

  /** A server whose clock is not known, or was set, says so by refusing; its answer has told its clock. */
  async function askInTime(request: ClaimRequest, startedMs: number): Promise<Reply> {
    // Whole: what is behind the point costs more to write than to know.
    const untilMs = (): number => Math.floor((clock.at(startedMs) ?? 0) + timeoutMs);
    const reply = await ask(request, untilMs());
    return reply.word === "late" ? ask(request, untilMs()) : reply;
  }

  function ask(request: ClaimRequest, untilMs: number): Promise<Reply> {
    const { id, token, fingerprint, method, target, route, leaseMs, unknownRetentionMs } = request;
    return run(
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
      untilMs,
      request.claimedBy,
      request.shadow ? "shadow" : "",
    );
  }
}

async function confirmed(confirm: Confirm, { id, token }: ClaimRequest): Promise<void> {
  try {
    await confirm(id, token);
  } catch (error) {
    // Whatever became of this call, the store has taken the claim.
    if (!(error instanceof StoreUnavailable && error.undone)) throw error;
    throw new StoreUnavailable(error.message);
  }
}

function readClaim(id: string, { word, data }: Reply, keyring: Keyring | undefined): ClaimAnswer {
  switch (word) {
    case "late":
      // It was too long on its way, and the caller has another try.
      throw new StoreUnavailable("The claim came to Redis after its time.");
    case "granted":
      return { kind: "granted", fence: asNumber(data[0]) };
    case "mismatch": {
      const record = summaryAsOf(decodeSummary(id, asBytes(data[0]), keyring), asNumber(data[1]));
      if (record !== undefined) return { kind: "mismatch", record };
      break;
    }
    case "replay": {
      const record = decodeRecord(id, asBytes(data[0]), keyring);
      if (record.state === "completed") return { kind: "replay", record };
      break;
    }
    case "busy":
    case "unknown": {
      const nowMs = asNumber(data[1]);
      const record = asOf(decodeRecord(id, asBytes(data[0]), keyring), nowMs);
      if (word === "busy" && record?.state === "in-flight") return { kind: word, record, nowMs };
      if (word === "unknown" && record?.state === "unknown") return { kind: word, record };
      break;
    }
  }
  throw unexpected(word);
}
