/** Histories written by hand: short words for the events, one key of one caller unless something else is said. */
import type { Effect, History, HistoryEvent, OnUnknown, ResourceAccess } from "./history.ts";

interface Who {
  readonly scope?: string;
  readonly key?: string;
}

type Step = (atMs: number) => HistoryEvent;

const ANN = { scope: "ann", key: "k1" };

/** Each step a second after the one before it. */
export function history(...steps: readonly Step[]): History {
  return { name: "written", faultFree: false, events: steps.map((step, n) => step(1000 * n)) };
}

export function faultFree(...steps: readonly Step[]): History {
  return { ...history(...steps), faultFree: true };
}

export function asks(
  request: number,
  more: Who & {
    readonly fingerprint?: string;
    readonly onUnknown?: OnUnknown;
    readonly mayBypass?: boolean;
  } = {},
): Step {
  const defaults = { ...ANN, fingerprint: "f1", onUnknown: "block" as const };
  return (atMs) => ({ kind: "request", request, ...defaults, ...more, atMs });
}

export function claimed(fence: number, who: Who = {}): Step {
  return (atMs) => ({ kind: "claimed", ...ANN, ...who, fence, atMs });
}

export function executes(
  execution: number,
  fence: number | undefined,
  more: Who & { readonly fingerprint?: string; readonly resource?: ResourceAccess } = {},
): Step {
  return (atMs) => ({
    kind: "execution",
    execution,
    ...ANN,
    fingerprint: "f1",
    fence,
    ...more,
    atMs,
  });
}

/** It answers `a1` where it is the execution 1. */
export function answers(execution: number): Step {
  const answer = `a${execution}`;
  return (atMs) => ({
    kind: "execution-end",
    execution,
    answer,
    released: false,
    succeeded: true,
    atMs,
  });
}

/** The effect took place and the answer did not come whole. */
export function breaks(execution: number): Step {
  const end = { answer: undefined, released: false, succeeded: true };
  return (atMs) => ({ kind: "execution-end", execution, ...end, atMs });
}

export function releases(execution: number): Step {
  const end = { answer: `a${execution}`, released: true, succeeded: false };
  return (atMs) => ({ kind: "execution-end", execution, ...end, atMs });
}

export function told(request: number, outcome: string, answer?: string, status = 200): Step {
  const carried = answer === undefined ? {} : { answer };
  return (atMs) => ({ kind: "reply", request, status, outcome, ...carried, atMs });
}

export function unanswered(request: number): Step {
  return (atMs) => ({ kind: "no-reply", request, atMs });
}

export function completed(who: Who = {}): Step {
  return (atMs) => ({ kind: "completed", ...ANN, ...who, atMs });
}

export function forgotten(): Step {
  return (atMs) => ({ kind: "forgotten", ...ANN, atMs });
}

export function storeLost(): Step {
  return (atMs) => ({ kind: "store-lost", atMs });
}

export function lostWrite(operation: string): Step {
  return (atMs) => ({ kind: "lost-write", operation, atMs });
}

export function faultsOver(leaseMs: number): Step {
  return (atMs) => ({ kind: "faults-over", leaseMs, atMs });
}

export function found(
  state: "in-flight" | "completed" | "unknown" | "absent",
  owned = false,
): Step {
  return (atMs) => ({ kind: "found", ...ANN, state, owned, atMs });
}

/** A write to `/thing`, without any rule unless one is given. */
export function writes(effect: Effect, rules: Partial<ResourceAccess> = {}): ResourceAccess {
  return { id: "/thing", effect, serialized: false, once: false, tombstones: false, ...rules };
}
