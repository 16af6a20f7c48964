/** The history of one seed: what the checker judges, written down in the order in which it happens. */
import type { HistoryEvent } from "../checker/history.ts";
import type { World } from "./world.ts";

/** `Omit` of each member of the union. */
type WithoutTime<Event> = Event extends HistoryEvent ? Omit<Event, "atMs"> : never;

export class Journal {
  readonly events: HistoryEvent[] = [];
  /** How often each `Idempotency-Status` was told. */
  readonly outcomes = new Map<string, number>();
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  tell(event: WithoutTime<HistoryEvent>): void {
    this.events.push({ ...event, atMs: this.#world.nowMs });
    switch (event.kind) {
      case "request":
        return this.#note(event, `request ${event.request}: ${event.fingerprint}`);
      case "claimed":
        return this.#note(event, `fence ${event.fence}`);
      case "execution":
        return this.#note(event, `execution ${event.execution}, fence ${event.fence}`);
      case "execution-end": {
        const { execution, answer, succeeded } = event;
        const text = `execution ${execution}: ${answer ?? "no answer"}, succeeded: ${succeeded}`;
        return this.#world.note(event.kind, "", text);
      }
      case "reply":
        this.outcomes.set(event.outcome, (this.outcomes.get(event.outcome) ?? 0) + 1);
        return this.#world.note(
          event.kind,
          "",
          `request ${event.request}: ${event.status} ${event.outcome} ${event.answer ?? ""}`,
        );
      case "no-reply":
        return this.#world.note(event.kind, "", `request ${event.request}`);
      case "completed":
      case "forgotten":
        return this.#note(event, "");
      case "found":
        return this.#note(event, event.state);
      case "lost-write":
        return this.#world.note(event.kind, "", event.operation);
      case "faults-over":
      case "store-lost":
        return this.#world.note(event.kind, "");
    }
  }

  #note(
    { kind, scope, key }: { readonly kind: string; readonly scope: string; readonly key: string },
    text: string,
  ): void {
    this.#world.note(kind, `${scope}/${key}`, text);
  }
}
