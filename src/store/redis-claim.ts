/**
 * The claim on Redis: one script, one round trip; where replicas are asked for, a WAIT behind it on the same
 * connection. Decides nothing: the script has.
 */
import { StoreUnavailable } from "../core/ports.ts";
import type { ClaimAnswer, ClaimRequest } from "../core/record.ts";
import { asOf } from "../core/record.ts";
import { decodeRecord, decodeSummary } from "./codec.ts";
import { within } from "./deadline.ts";
import { asBytes, asNumber, unexpected } from "./redis-call.ts";
import type { Line, Reply, RunScript } from "./redis-call.ts";
import { asStoreError } from "./redis-errors.ts";
import { summaryAsOf } from "./summary.ts";

/** How many replicas must have a claim before it counts, and how long they are given, in milliseconds. */
export interface ReplicaWait {
  readonly wait: number;
  readonly timeoutMs: number;
}

export function claimer(
  { client, clock, timeoutMs }: Pick<Line, "client" | "clock" | "timeoutMs">,
  run: RunScript,
  replicas: ReplicaWait | undefined,
): (request: ClaimRequest) => Promise<ClaimAnswer> {
  return async (request) => {
    const reply = await within(timeoutMs, askInTime(request, performance.now()));
    const answer = readClaim(request.id, reply);
    if (answer.kind === "granted" && replicas !== undefined) await confirm(request, replicas);
    return answer;
  };

  /** A server whose clock is not known, or was set, says so by refusing; its answer has told its clock. */
  async function askInTime(request: ClaimRequest, startedMs: number): Promise<Reply> {
    const untilMs = (): number => (clock.at(startedMs) ?? 0) + timeoutMs;
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
    );
  }

  /** WAIT counts what this connection wrote, so it goes down the same one right behind the claim. */
  async function confirm(
    { id, token }: ClaimRequest,
    { wait, timeoutMs: waitMs }: ReplicaWait,
  ): Promise<void> {
    let reached: number;
    try {
      reached = await within(timeoutMs, client.wait(wait, waitMs));
    } catch (error) {
      await giveBack(id, token);
      throw asStoreError(error);
    }
    if (reached >= wait) return;
    await giveBack(id, token);
    throw new StoreUnavailable(`Only ${reached} of ${wait} replicas have the claim.`);
  }

  /** Nothing was sent for this claim. Where even this fails, its lease ends it, and the caller is refused anyway. */
  async function giveBack(id: string, token: string): Promise<void> {
    await Promise.allSettled([run("release", id, Buffer.from(token, "hex"))]);
  }
}

function readClaim(id: string, { word, data }: Reply): ClaimAnswer {
  switch (word) {
    case "late":
      // It was too long on its way, and the caller has another try.
      throw new StoreUnavailable("The claim came to Redis after its time.");
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
