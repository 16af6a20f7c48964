/**
 * An answer that an operator gives for an unknown outcome: what may stand in it, and what is recorded of it where its route
 * takes it. The rules are those for an upstream's answer, but what is never told to a client is refused here rather than
 * left out: nobody writes it on purpose. Pure; asked for by the admin port.
 */
import { MOST_HEAD_BYTES } from "./fields.ts";
import type { Policy } from "./policy.ts";
import type { UpstreamAnswer } from "./ports.ts";
import type { HeaderPair, RecordedResponse } from "./record.ts";
import { isNeverTold, isSuccess, toRecord, verdictOn } from "./recordable.ts";

/** RFC 9110 §5.6.2. */
const NAME = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/;
/** RFC 9110 §5.5, each byte as one char; white space around a value is no part of it. */
const VALUE = /^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?$/;

const BODILESS: readonly number[] = [204, 205, 304];

/** What is wrong with it for whatever route; `undefined`: nothing. Quotes nothing but the names that are refused. */
export function faultOf({ status, headers, body }: UpstreamAnswer): string | undefined {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    return "The status must be that of a final answer, a whole number from 200 to 599.";
  }
  if (BODILESS.includes(status) && body.byteLength > 0) {
    return `An answer with status ${status} has no body (RFC 9110 §6.4.1 and §15.3.6).`;
  }
  // Before any is judged: of tiny fields a request may hold so many that judging them would hold up everybody else.
  const headBytes = headers.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
  if (headBytes > MOST_HEAD_BYTES) {
    return `The header fields are more than ${MOST_HEAD_BYTES} bytes, which no upstream's may be either.`;
  }
  for (const [index, field] of headers.entries()) {
    const fault = fieldFault(field);
    if (fault !== undefined) return `Header field ${index + 1} ${fault}`;
  }
  return undefined;
}

function fieldFault([name, value]: HeaderPair): string | undefined {
  if (!NAME.test(name)) return "has a name that is none (RFC 9110 §5.6.2).";
  const field = name.toLowerCase();
  if (isNeverTold(field)) {
    return `is ${field}, which belongs to a connection or is the gateway's own to say: leave it out.`;
  }
  return VALUE.test(value)
    ? undefined
    : "has a value with white space around it, or with a character that may not stand there: each is one byte, up to U+00FF.";
}

type Taken =
  | { readonly kind: "taken"; readonly response: RecordedResponse; readonly retentionMs: number }
  /** `why`: for people. */
  | { readonly kind: "refused"; readonly why: string };

/** What is recorded of a sound answer by the policy that retries are judged by; `undefined`: they meet none. */
export function takenBy(
  policy:
    | Pick<Policy, "mode" | "respond" | "replay" | "limits" | "retention" | "resource">
    | undefined,
  answer: UpstreamAnswer,
): Taken {
  if (policy?.mode !== "enforce") {
    return refused("Its route does not enforce, so no retry would be told the answer.");
  }
  if (!policy.respond.keepsAnswer) {
    return refused("Its route records no answers (respond.record: never).");
  }
  const verdict = verdictOn(answer.status, policy);
  if (verdict !== "record") {
    return refused(`Its route has this status in respond.${verdict}, and records no such answer.`);
  }
  // Whoever owns a resource is told by its record, in which no 2xx means that nothing was taken.
  if (policy.resource?.once === true && !isSuccess(answer.status)) {
    return refused(
      "On its route the first write owns its resource (resource.once), and an answer that is not 2xx would free it for another caller.",
    );
  }
  const { responseBytes } = policy.limits;
  if (answer.body.byteLength > responseBytes) {
    return refused(`Its route records bodies of up to ${responseBytes} bytes.`);
  }
  const { completedMs: retentionMs } = policy.retention;
  return { kind: "taken", response: toRecord(answer, policy), retentionMs };
}

function refused(why: string): Taken {
  return { kind: "refused", why };
}
