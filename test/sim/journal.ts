/** The history of one seed: what the checker judges, written down in the order in which it happens. */
import type { ProbeResult } from "../../src/core/probe-ports.ts";
import type { HistoryEvent } from "../checker/history.ts";
import type { World } from "./world.ts";

/** `Omit` of each member of the union. */
type WithoutTime<Event> = Event extends HistoryEvent ? Omit<Event, "atMs"> : never;

export class Journal {
  readonly events: HistoryEvent[] = [];
  /** How often each `Idempotency-Status` was told. */
  readonly outcomes = new Map<string, number>();
  /** How often the upstream was asked about an unknown outcome, by what came of it. */
  readonly probes = new Map<ProbeResult, number>();
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  probed(result: ProbeResult): void {
    this.probes.set(result, (this.probes.get(result) ?? 0) + 1);
  }

  /** Keeps `event` itself and sets its time. */
  tell(event: WithoutTime<HistoryEvent> & { atMs?: number }): void {
    const world = this.#world;
    event.atMs = world.nowMs;
    this.events.push(event as HistoryEvent);
    if (event.kind === "reply") {
      this.outcomes.set(event.outcome, (this.outcomes.get(event.outcome) ?? 0) + 1);
    }
    const who = "key" in event ? `${event.scope}/${event.key}` : "";
    world.note(event.kind, who, textOf(event));
  }
}

/** What of it is not in its kind and key. */
function textOf(event: WithoutTime<HistoryEvent>): string | number {
  switch (event.kind) {
    case "request":
      return `request ${event.request}: ${event.fingerprint}`;
    case "claimed":
      return event.fence;
    case "execution":
      return `execution ${event.execution}, fence ${event.fence}`;
    case "execution-end":
      return `execution ${event.execution}: ${event.answer ?? "no answer"}, succeeded: ${event.succeeded}`;
    case "reply":
      return `request ${event.request}: ${event.status} ${event.outcome} ${event.answer ?? ""}`;
    case "no-reply":
      return `request ${event.request}`;
    case "found":
      return event.state;
    case "lost-write":
      return event.operation;
    case "completed":
    case "forgotten":
    case "faults-over":
    case "store-lost":
      return 0;
  }
}
