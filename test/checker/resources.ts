/** The rules about one resource: writes of different callers and keys, as the upstream saw them. */
import type { HistoryEvent, ResourceAccess } from "./history.ts";
import type { EventOf, Execution, Index } from "./index.ts";
import type { Objection } from "./keys.ts";

interface ResourceState {
  /** Serialized writes that the upstream is at. */
  readonly running: Set<number>;
  /** Whose write owns it, under `once`. */
  owner: { readonly name: string; readonly execution: number } | undefined;
  /** The deletion that a client has been told of, and no creation since. */
  deleted: { readonly execution: number; readonly request: number } | undefined;
  /** When which execution deleted it, and when it was last created, counted in ends of writes. */
  readonly deletions: Map<number, number>;
  createdAt: number;
  ends: number;
}

export function resourceRules(index: Index, object: Objection): (event: HistoryEvent) => void {
  const states = new Map<string, ResourceState>();

  const stateOf = (id: string): ResourceState => {
    const known = states.get(id);
    if (known !== undefined) return known;
    const state: ResourceState = {
      running: new Set(),
      owner: undefined,
      deleted: undefined,
      deletions: new Map(),
      createdAt: 0,
      ends: 0,
    };
    states.set(id, state);
    return state;
  };

  return (event) => {
    switch (event.kind) {
      case "execution": {
        const { resource } = event;
        if (resource !== undefined) began(event, resource, stateOf(resource.id), object);
        return;
      }
      case "execution-end": {
        const execution = index.executions.get(event.execution);
        const resource = execution?.event.resource;
        if (execution === undefined || resource === undefined) return;
        ended(execution, resource, stateOf(resource.id), index, object);
        return;
      }
      case "reply":
        return told(event, index, stateOf);
      case "store-lost":
        // Locks, owners and tombstones were in it.
        states.clear();
        return;
      default:
        return;
    }
  };
}

function began(
  { execution }: EventOf<"execution">,
  { id, effect, serialized, tombstones, condition }: ResourceAccess,
  state: ResourceState,
  object: Objection,
): void {
  if (serialized) {
    const [other] = state.running;
    if (other !== undefined) {
      object("overlap", `executions ${other} and ${execution} write ${id} at the same time`);
    }
    state.running.add(execution);
  }
  if (tombstones && effect === "update" && state.deleted !== undefined) {
    const { execution: deletion, request } = state.deleted;
    object(
      "resurrected",
      `execution ${execution} updates ${id}, which execution ${deletion} has deleted, as request ${request} was told`,
    );
  }
  if (condition === undefined) return;
  const { wanted, current } = condition;
  const stands = current !== undefined;
  const holds = wanted === "*" ? stands : wanted === "none" ? !stands : wanted === current;
  if (!holds) {
    object(
      "precondition-passed",
      `execution ${execution} wanted ${wanted} of ${id}, which was at ${current ?? "nothing"}`,
    );
  }
}

function ended(
  { event, end }: Execution,
  { id, effect, once }: ResourceAccess,
  state: ResourceState,
  index: Index,
  object: Objection,
): void {
  state.running.delete(event.execution);
  if (end?.succeeded !== true) return;
  state.ends += 1;
  if (effect === "create") {
    state.deleted = undefined;
    state.createdAt = state.ends;
  }
  if (effect === "delete") {
    state.owner = undefined;
    state.deletions.set(event.execution, state.ends);
  } else if (once) {
    const name = index.nameOf(event);
    if (state.owner !== undefined && state.owner.name !== name) {
      object(
        "two-owners",
        `executions ${state.owner.execution} and ${event.execution} both own ${id}`,
      );
    }
    state.owner ??= { name, execution: event.execution };
  }
}

/**
 * A deletion counts from when a client has seen its recorded answer: a gateway that died before that has told nobody,
 * and what it has not remembered was never promised.
 */
function told(
  { request, outcome, answer }: EventOf<"reply">,
  index: Index,
  stateOf: (id: string) => ResourceState,
): void {
  if (answer === undefined || (outcome !== "executed" && outcome !== "replayed")) return;
  for (const { event, end } of index.answers.get(answer) ?? []) {
    const { resource, execution } = event;
    if (resource?.effect !== "delete" || end?.succeeded !== true) continue;
    const state = stateOf(resource.id);
    // A replay of an old deletion says nothing of what was made since.
    const deletedAt = state.deletions.get(execution);
    if (deletedAt === undefined || deletedAt < state.createdAt) continue;
    state.deleted ??= { execution, request };
  }
}
