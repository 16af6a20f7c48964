/**
 * Reads a history and says which promises it breaks. Knows no engine: whatever wrote the events, the promises are the
 * same. A rule objects only to what the events prove; what they do not tell is not held against anybody.
 */
import type { History, HistoryEvent, Rule, Violation } from "./history.ts";
import { indexOf } from "./index.ts";
import { keyRules } from "./keys.ts";
import { resourceRules } from "./resources.ts";

/** @throws where the history itself is broken: a number told twice, an end without a beginning. */
export function check(history: History): readonly Violation[] {
  const violations: Violation[] = [];
  const object = (rule: Rule, text: string): void => {
    violations.push({ rule, history: history.name, text });
  };
  const index = indexOf(history);
  const keys = keyRules(index, object);
  const resources = resourceRules(index, object);
  for (const event of history.events) {
    keys(event);
    resources(event);
    const fault = history.faultFree ? faultIn(event) : undefined;
    if (fault !== undefined) object("fault-free", fault);
  }
  return violations;
}

const FAULTS = new Set(["outcome-unknown", "not-recorded", "record-corrupt", "store-unavailable"]);

/** What may not be seen where nothing was made to go wrong. */
function faultIn(event: HistoryEvent): string | undefined {
  switch (event.kind) {
    case "lost-write":
      return `a lost write: ${event.operation}`;
    case "no-reply":
      return `request ${event.request} got no reply`;
    case "reply": {
      // A 5xx that is the upstream's own is an answer like any other.
      const own = event.answer === undefined && event.status >= 500;
      if (!own && !FAULTS.has(event.outcome)) return undefined;
      return `request ${event.request} was told ${event.status} ${event.outcome}`;
    }
    default:
      return undefined;
  }
}
