/**
 * The rules about one key of one caller: how often it executes, and what its callers are told. One pass over the
 * history, a state per key. `forgotten` begins a key anew; `store-lost` takes the promise off what the store held.
 */
import type { HistoryEvent, Rule } from "./history.ts";
import type { EventOf, Execution, Index } from "./index.ts";

export type Objection = (rule: Rule, text: string) => void;

interface KeyState {
  /** Executions that count: those that the upstream did not call "not processed". */
  executions: EventOf<"execution">[];
  /** What the callers were told that is on record, and by which request first. */
  recorded: { readonly answer: string; readonly request: number } | undefined;
  /** What they were told that is not on record. */
  unrecorded: { readonly answer: string; readonly request: number } | undefined;
  /** The store has acknowledged a completion, or a client was told an answer that is on record. */
  completed: boolean;
  /** Of requests that were begun, which have no end yet. */
  readonly open: Set<number>;
  /** How many were begun at all. */
  requests: number;
  /** Claims granted and executions seen, by fence; never begun anew, because a fence may be late. */
  readonly claims: Map<number, number>;
  readonly sent: Map<number, number>;
  /** The store lost what it held of this key. */
  excused: boolean;
  resends: Set<string>;
  mayBypass: boolean;
}

/** What a request knew of its key when it was begun. */
interface Beginning {
  readonly completed: boolean;
  /** The fingerprint that had been executed. */
  readonly executed: string | undefined;
  /** No other request of the key was under way. */
  readonly alone: boolean;
  /** How many were begun before it. */
  readonly earlier: number;
}

/** The record settled: everybody who asks later gets this answer. */
const RECORDED = new Set(["executed", "replayed"]);

/** What nobody may be told whose request began after the store had acknowledged the completion. */
const NOT_COMPLETED = new Set([
  "executed",
  "in-flight",
  "not-recorded",
  "outcome-unknown",
  "released",
  "upstream-unreachable",
]);

/** What a request with another fingerprint may not be told in place of `key-reused`. */
const HIDES_MISMATCH = new Set([...NOT_COMPLETED, "not-replayable", "replayed"]);

export function keyRules(index: Index, object: Objection): (event: HistoryEvent) => void {
  const states = new Map<string, KeyState>();
  const beginnings = new Map<number, Beginning>();
  let stuckAfterMs = Infinity;

  const stateOf = (owner: { readonly scope: string; readonly key: string }): KeyState => {
    const name = index.nameOf(owner);
    const known = states.get(name);
    if (known !== undefined) return known;
    const state = newState();
    states.set(name, state);
    return state;
  };

  return (event) => {
    switch (event.kind) {
      case "request":
        beginnings.set(event.request, begun(event, stateOf(event)));
        return;
      case "claimed":
        return add(stateOf(event).claims, event.fence);
      case "execution":
        return executed(event, stateOf(event), index, object);
      case "completed":
        stateOf(event).completed = true;
        return;
      case "forgotten":
        return beginAnew(stateOf(event));
      case "store-lost":
        for (const state of states.values()) excuse(state);
        return;
      case "faults-over":
        stuckAfterMs = event.atMs + event.leaseMs + 1000;
        return;
      case "found":
        return found(event, stateOf(event), stuckAfterMs, object);
      case "reply": {
        const { request, state } = askedBy(event, index, stateOf);
        state.open.delete(event.request);
        carried(event, request, state, index, object);
        const beginning = beginnings.get(event.request);
        if (beginning !== undefined && !state.excused) {
          // One that was begun meanwhile may have been the first to claim.
          const alone = beginning.alone && state.requests === beginning.earlier + 1;
          const only = alone && beginning.earlier === 0;
          const stuck = only || (alone && request.atMs > stuckAfterMs);
          refused(event, request, beginning, stuck, object);
        }
        return;
      }
      case "no-reply":
        askedBy(event, index, stateOf).state.open.delete(event.request);
        return;
      case "execution-end":
      case "lost-write":
        return;
    }
  };
}

function begun(event: EventOf<"request">, state: KeyState): Beginning {
  if (event.onUnknown === "resend") state.resends.add(event.fingerprint);
  if (event.mayBypass === true) state.mayBypass = true;
  const beginning = {
    completed: state.completed,
    executed: state.executions[0]?.fingerprint,
    alone: state.open.size === 0,
    earlier: state.requests,
  };
  state.open.add(event.request);
  state.requests += 1;
  return beginning;
}

function newState(): KeyState {
  return {
    executions: [],
    recorded: undefined,
    unrecorded: undefined,
    completed: false,
    open: new Set(),
    requests: 0,
    claims: new Map(),
    sent: new Map(),
    excused: false,
    resends: new Set(),
    mayBypass: false,
  };
}

function beginAnew(state: KeyState): void {
  state.executions = [];
  state.recorded = undefined;
  state.unrecorded = undefined;
  state.completed = false;
}

function excuse(state: KeyState): void {
  beginAnew(state);
  state.excused = true;
}

function askedBy(
  { request: number }: { readonly request: number },
  { requests }: Index,
  stateOf: (owner: { readonly scope: string; readonly key: string }) => KeyState,
) {
  const request = requests.get(number);
  if (request === undefined) throw new Error(`request ${number} has an end and no beginning`);
  return { request, state: stateOf(request) };
}

function executed(
  event: EventOf<"execution">,
  state: KeyState,
  index: Index,
  object: Objection,
): void {
  const { execution, fence, fingerprint } = event;
  if (fence === undefined) {
    if (!state.mayBypass) object("unclaimed", `execution ${execution} came without a fence`);
    return;
  }
  add(state.sent, fence);
  if (index.tellsClaims && (state.sent.get(fence) ?? 0) > (state.claims.get(fence) ?? 0)) {
    object("unclaimed", `execution ${execution} with fence ${fence} has no claim of its own`);
  }
  if (state.excused) return;
  if (state.recorded !== undefined) {
    const { request } = state.recorded;
    object(
      "executed-after-recorded",
      `execution ${execution}, after request ${request} was told the answer`,
    );
  }
  const other = state.executions.find((earlier) => earlier.fingerprint !== fingerprint);
  if (other !== undefined) {
    object(
      "mismatch-executed",
      `executions ${other.execution} and ${execution} are of one key and two fingerprints`,
    );
  }
  // What the upstream answers for released may run again, and then for anything.
  if (index.executions.get(execution)?.end?.released === true) return;
  const resends = state.resends.has(fingerprint);
  const twin = state.executions.find(
    (earlier) => earlier.fingerprint === fingerprint && (!resends || earlier.fence === fence),
  );
  if (twin !== undefined) {
    object(
      "executed-twice",
      `executions ${twin.execution} (fence ${twin.fence}) and ${execution} (fence ${fence})`,
    );
  }
  state.executions.push(event);
}

/** What a reply carries of the upstream's words. */
function carried(
  reply: EventOf<"reply">,
  request: EventOf<"request">,
  state: KeyState,
  index: Index,
  object: Objection,
): void {
  const { answer, outcome } = reply;
  if (answer === undefined) return;
  const from = (index.answers.get(answer) ?? []).filter((execution) => belongs(execution, request));
  if (from.length === 0) {
    object(
      "foreign-answer",
      `request ${reply.request} was told (${outcome}) an answer that is not its own`,
    );
    return;
  }
  if (state.excused) return;
  const told = { answer, request: reply.request };
  const resends = state.resends.has(request.fingerprint);
  if (RECORDED.has(outcome)) {
    const other = state.recorded ?? (resends ? undefined : state.unrecorded);
    differ(told, other, object);
    // An answer from before the record was forgotten says nothing of what came after.
    if (from.some(({ event }) => state.executions.includes(event))) {
      state.recorded ??= told;
      // Whoever was told so may rely on it as on the store's own word.
      state.completed = true;
    }
  } else if (outcome === "not-recorded") {
    if (!resends) differ(told, state.recorded ?? state.unrecorded, object);
    if (from.some(({ event }) => state.executions.includes(event))) state.unrecorded ??= told;
  }
}

function differ(
  told: { readonly answer: string; readonly request: number },
  other: { readonly answer: string; readonly request: number } | undefined,
  object: Objection,
): void {
  if (other === undefined || other.answer === told.answer) return;
  object(
    "answers-differ",
    `requests ${other.request} and ${told.request} were told different answers`,
  );
}

function belongs({ event }: Execution, { scope, key, fingerprint }: EventOf<"request">): boolean {
  return event.scope === scope && event.key === key && event.fingerprint === fingerprint;
}

/** What a reply says instead, judged by what had happened when the request was begun. */
function refused(
  reply: EventOf<"reply">,
  request: EventOf<"request">,
  { completed, executed: fingerprint }: Beginning,
  stuck: boolean,
  object: Objection,
): void {
  const { outcome } = reply;
  const mismatch = fingerprint !== undefined && fingerprint !== request.fingerprint;
  if (mismatch && request.mayBypass !== true && HIDES_MISMATCH.has(outcome)) {
    object("mismatch-hidden", `request ${reply.request} reuses the key and was told ${outcome}`);
  }
  if (completed && !mismatch && request.mayBypass !== true && NOT_COMPLETED.has(outcome)) {
    object(
      "completion-lost",
      `request ${reply.request} was told ${outcome}, begun after the completion was acknowledged or told`,
    );
  }
  if (outcome === "in-flight" && stuck) {
    object("stuck", `request ${reply.request} was told in-flight with nobody else there`);
  }
}

function found(
  event: EventOf<"found">,
  state: KeyState,
  stuckAfterMs: number,
  object: Objection,
): void {
  const { scope, key } = event;
  if (event.state === "in-flight" && !event.owned && event.atMs > stuckAfterMs) {
    object("stuck", `key ${key} of ${scope} is in flight and nobody's`);
  }
  if (state.completed && event.state !== "completed") {
    object("completion-lost", `key ${key} of ${scope} was completed and is found ${event.state}`);
  }
}

function add(counts: Map<number, number>, fence: number): void {
  counts.set(fence, (counts.get(fence) ?? 0) + 1);
}
