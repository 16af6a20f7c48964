/**
 * The resource: the thing that a request changes. Keys make one client's retries safe; a resource's policy makes
 * different clients' writes safe against each other. Here is what is remembered of a resource, and
 * what a write may do given that memory and the current representation. What it is called is in `resource-name.ts`.
 *
 * Memory of a resource is written under its lock and by compare-and-set on its revision:
 *
 *     nothing known ──a write that succeeded──▶ written (by whom, by which record)
 *          ▲  ▲                                    │
 *          │  └──── POST / create-only PUT ──┐     ├── DELETE that succeeded ──▶ tombstone (with the first answer)
 *          └──────── time over ──────────────┴─────┘
 */
import { fieldOf } from "./fields.ts";
import { isCondition, judgeWrite, type Representation } from "./conditional.ts";
import type { ResourcePolicy } from "./policy.ts";
import { pathOnly, type Original } from "./problem.ts";
import { isSuccess } from "./recordable.ts";
import type { HeaderPair, RecordedResponse } from "./record.ts";

/** Who wrote a resource last, or owns it: enough to recognise the request, nothing of its payload. */
export interface Writer {
  /** The record id of the write; of a keyless one an id of its own that no record has. */
  readonly record: string;
  readonly keyed: boolean;
  readonly original: Original;
}

/** What is remembered of a resource. */
export interface ResourceMemory {
  /** The last write that succeeded. */
  readonly writer?: Writer;
  /** `once`: who has it. `settled` is false from before the request is sent until its outcome is known. */
  readonly owner?: Writer & {
    readonly settled: boolean;
    /** An earlier send of the same record may have taken it, so that a later one's failure does not free it. */
    readonly sentBefore?: true;
  };
  readonly tombstone?: {
    readonly deletedAtMs: number;
    readonly untilMs: number;
    /** The first DELETE's answer, without `Set-Cookie`. */
    readonly response: RecordedResponse;
    /** Whose DELETE it was, as in `ResourceWrite.scope`: the answer's content is that caller's alone. */
    readonly scope: string;
    /** It may have been brought back by a write whose outcome is unknown. */
    readonly doubted?: true;
  };
  /** A DELETE of unknown outcome: where the thing is not there any more, that is why. */
  readonly deleting?: true;
  /** SHA-256 of the content that the last PUT brought, to recognise the same one. */
  readonly content?: string;
  /** The `once` resource that ends with this one: a booking's slot, freed when the booking is deleted. */
  readonly frees?: { readonly resource: string; readonly owner: string };
}

export interface ResourceWrite {
  readonly method: string;
  readonly headers: readonly HeaderPair[];
  /** The write's own record id. */
  readonly record: string;
  /** Digest of the caller's credentials, see `scopeOf`. */
  readonly scope: string;
  /** See `ResourceMemory.content`. */
  readonly content: string;
  /** See `NamedResource.address`. */
  readonly address?: string | undefined;
}

/** What a write may do. */
export type WriteVerdict =
  | { readonly kind: "go" }
  /** A repeated DELETE: the first one's answer, and the upstream is not called. */
  | { readonly kind: "deleted-before"; readonly response: RecordedResponse }
  /** The same thing is there already: its current representation, and the upstream is not called. */
  | {
      readonly kind: "already-there";
      readonly current: Extract<Representation, { kind: "present" }>;
    }
  | { readonly kind: "gone"; readonly status: 403 | 404 | 409 | 410 }
  | { readonly kind: "missing" }
  | { readonly kind: "exists" }
  | {
      readonly kind: "owned";
      readonly owner: Writer & { readonly sentBefore?: true };
      readonly settled: boolean;
    }
  | { readonly kind: "precondition-required" }
  | { readonly kind: "precondition-failed"; readonly etag: string | undefined }
  | { readonly kind: "precondition-malformed" };

function isConditional({ headers }: ResourceWrite): boolean {
  return headers.some(([name]) => isCondition(name));
}

/** Whether the decision needs the current representation, which costs a read of the upstream. */
export function needsRepresentation(policy: ResourcePolicy, write: ResourceWrite): boolean {
  if (policy.precondition !== "off" && isConditional(write)) return true;
  return write.method === "PUT" && policy.put !== "upsert";
}

/** Decided before anything is read from the upstream; `undefined`: goes on. */
export function judgeMemory(
  memory: ResourceMemory,
  write: ResourceWrite,
  policy: ResourcePolicy,
  nowMs: number,
): WriteVerdict | undefined {
  const { tombstone, owner } = memory;
  if (tombstone !== undefined && tombstone.untilMs > nowMs && policy.afterDelete !== undefined) {
    const { afterDelete } = policy;
    const replays = afterDelete.delete === "replay" && tombstone.doubted !== true;
    if (write.method === "DELETE" && replays) {
      return { kind: "deleted-before", response: firstAnswer(tombstone, write.scope) };
    }
    if (write.method !== "DELETE" && !revives(write, policy)) {
      return { kind: "gone", status: afterDelete.put };
    }
  }
  if (policy.once && write.method !== "DELETE") {
    // What another route has written is taken as well: POST after PUT of the same thing.
    const written = memory.writer !== undefined && tombstone === undefined;
    const taken = owner ?? (written ? { ...memory.writer, settled: true } : undefined);
    // Its own record counts only until it is settled. Later it comes again when that record was forgotten, and the key
    // is taken from what it names: the thing is there all the same.
    if (taken !== undefined && (taken.settled || taken.record !== write.record)) {
      return { kind: "owned", owner: taken, settled: taken.settled };
    }
  }
  if (policy.precondition === "required" && !isConditional(write)) {
    return { kind: "precondition-required" };
  }
  return undefined;
}

/** Decided on the current representation, under the resource's lock. */
export function judgeRepresentation(
  current: Representation,
  memory: ResourceMemory,
  write: ResourceWrite,
  policy: ResourcePolicy,
  sameContent: (current: Extract<Representation, { kind: "present" }>) => boolean,
): WriteVerdict {
  if (policy.precondition !== "off" || policy.put === "create-only") {
    const condition = judgeWrite(write.headers, current);
    if (condition === "malformed") return { kind: "precondition-malformed" };
    if (condition === "fails") {
      const etag = current.kind === "present" ? current.etag : undefined;
      return { kind: "precondition-failed", etag };
    }
  }
  if (write.method !== "PUT") return { kind: "go" };
  if (policy.put === "update-only" && current.kind === "absent") return { kind: "missing" };
  if (policy.put === "create-only" && current.kind === "present") {
    const same = memory.content === write.content || sameContent(current);
    return same ? { kind: "already-there", current } : { kind: "exists" };
  }
  return { kind: "go" };
}

/** Before a `once` write is sent: others are refused from now on, also when its outcome is never known. */
export function claimOwnership(memory: ResourceMemory, writer: Writer): ResourceMemory {
  const { owner } = memory;
  const sentBefore = owner?.record === writer.record && !owner.settled;
  return { ...memory, owner: { ...writer, settled: false, ...(sentBefore && { sentBefore }) } };
}

/** What may make a deleted thing anew. */
function revives({ method }: ResourceWrite, { put }: ResourcePolicy): boolean {
  return method === "POST" || (method === "PUT" && put === "create-only");
}

/**
 * Whether the write has done what it asked for. A DELETE has, too, where the thing that is known here is not there any
 * more: its first answer may have been lost.
 */
export function hasHappened(memory: ResourceMemory, write: ResourceWrite, end: WriteEnd): boolean {
  if (end.kind !== "answered") return false;
  const { status } = end.response;
  if (isSuccess(status)) return true;
  const { tombstone, writer, owner, frees, deleting } = memory;
  const known = (writer ?? owner ?? frees ?? deleting) !== undefined && tombstone === undefined;
  return write.method === "DELETE" && (status === 404 || status === 410) && known;
}

export type WriteEnd =
  | { readonly kind: "answered"; readonly response: RecordedResponse }
  | { readonly kind: "not-sent" }
  | { readonly kind: "unknown" };

/** What is remembered once the write has ended. */
export function remember(
  memory: ResourceMemory,
  write: ResourceWrite & { readonly writer: Writer },
  end: WriteEnd,
  policy: ResourcePolicy,
  nowMs: number,
): ResourceMemory {
  if (end.kind === "unknown") return doubt(memory, write, policy);
  if (end.kind === "not-sent" || !hasHappened(memory, write, end)) {
    const { owner, ...free } = memory;
    return owner?.record === write.record && owner.sentBefore !== true ? free : memory;
  }
  const writer = withAnswer(write, end.response);
  if (write.method === "DELETE") {
    const { afterDelete } = policy;
    const untilMs = nowMs + (afterDelete?.rememberMs ?? 0);
    // A tombstone also where nothing is made of it: what is deleted is not taken any more.
    const response = withoutCookies(end.response);
    return { writer, tombstone: { deletedAtMs: nowMs, untilMs, response, scope: write.scope } };
  }
  const { tombstone: _tombstone, deleting: _deleting, content: _content, owner, ...kept } = memory;
  // A route without `once` changes what somebody has, and takes it from nobody.
  const keeps = owner?.settled === true ? owner : undefined;
  const has = policy.once ? { ...writer, settled: true } : keeps;
  return {
    ...kept,
    writer,
    ...(has !== undefined && { owner: has }),
    ...(write.method === "PUT" ? { content: write.content } : {}),
  };
}

/** Of an unknown outcome: an owner stays unsettled, and a deletion is neither certain nor undone. */
function doubt(
  memory: ResourceMemory,
  write: ResourceWrite,
  policy: ResourcePolicy,
): ResourceMemory {
  if (write.method === "DELETE") return { ...memory, deleting: true };
  const { tombstone } = memory;
  if (tombstone === undefined || !revives(write, policy)) return memory;
  return { ...memory, tombstone: { ...tombstone, doubted: true } };
}

/**
 * DANGER: the upstream has not looked at who repeats a DELETE. Another caller gets the status alone: the content may be
 * what was deleted, which this caller might never have been shown.
 */
function firstAnswer(
  { response, scope }: NonNullable<ResourceMemory["tombstone"]>,
  askedBy: string,
): RecordedResponse {
  const whole = scope === askedBy && response.body !== undefined;
  return whole ? response : { status: response.status, headers: [], body: undefined };
}

/** A session that was handed out with the answer is nobody else's, also where callers cannot be told apart. */
function withoutCookies(response: RecordedResponse): RecordedResponse {
  const headers = response.headers.filter(([name]) => name.toLowerCase() !== "set-cookie");
  return { ...response, headers };
}

/** How the write ended, for whoever meets it: its status and where its result is. */
function withAnswer(
  { writer, address }: ResourceWrite & { readonly writer: Writer },
  { status, headers }: RecordedResponse,
): Writer {
  const told = fieldOf(headers, "location");
  // Without the query, which may carry what is meant for the one who made it.
  const location = told === undefined ? address : pathOnly(told);
  const original = { ...writer.original, status, ...(location !== undefined && { location }) };
  return { ...writer, original };
}
