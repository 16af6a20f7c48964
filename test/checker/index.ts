/** What the rules look up in a history: who asked, what the upstream did, how it ended. No rule stands here. */
import type { History, HistoryEvent } from "./history.ts";

export type EventOf<Kind extends HistoryEvent["kind"]> = Extract<HistoryEvent, { kind: Kind }>;

/** One execution with its end, where it has one. */
export interface Execution {
  readonly event: EventOf<"execution">;
  readonly end: EventOf<"execution-end"> | undefined;
}

export interface Index {
  readonly requests: ReadonlyMap<number, EventOf<"request">>;
  readonly executions: ReadonlyMap<number, Execution>;
  /** By the digest of the answer. */
  readonly answers: ReadonlyMap<string, readonly Execution[]>;
  /** Whether the engine tells of claims at all. */
  readonly tellsClaims: boolean;
  /** The same name for the same key of the same caller, and for no other. */
  nameOf(owner: { readonly scope: string; readonly key: string }): string;
}

export function indexOf({ name, events }: History): Index {
  const requests = new Map<number, EventOf<"request">>();
  const begun = new Map<number, EventOf<"execution">>();
  const ends = new Map<number, EventOf<"execution-end">>();
  let tellsClaims = false;
  for (const event of events) {
    switch (event.kind) {
      case "request":
        if (requests.has(event.request)) throw toldTwice(name, `request ${event.request}`);
        requests.set(event.request, event);
        break;
      case "execution":
        if (begun.has(event.execution)) throw toldTwice(name, `execution ${event.execution}`);
        begun.set(event.execution, event);
        break;
      case "execution-end":
        if (ends.has(event.execution)) {
          throw toldTwice(name, `the end of execution ${event.execution}`);
        }
        ends.set(event.execution, event);
        break;
      case "claimed":
        tellsClaims = true;
        break;
      default:
        break;
    }
  }
  const executions = new Map<number, Execution>();
  const answers = new Map<string, Execution[]>();
  for (const [number, event] of begun) {
    const execution = { event, end: ends.get(number) };
    executions.set(number, execution);
    const answer = execution.end?.answer;
    if (answer !== undefined) answers.set(answer, [...(answers.get(answer) ?? []), execution]);
  }
  const nameOf: Index["nameOf"] = ({ scope, key }) => `${scope.length}:${scope}${key}`;
  return { requests, executions, answers, tellsClaims, nameOf };
}

/** A history that uses a number twice was written down wrong: judging it would prove nothing. */
function toldTwice(name: string, what: string): Error {
  return new Error(`${name}: ${what} is told twice`);
}
