/**
 * What cannot hold together in a route's resource, or between it and the rest of the route. Judged on what the route
 * comes to after inheriting. Each message gives the reason and the way out.
 */
import type { FileConfig } from "./file-schema.ts";
import type { PolicyValues } from "./inherit.ts";
import { SAFE_METHODS } from "./paths.ts";
import type { Contradiction } from "./problems.ts";
import { askingForLock, serializeOf, type ResourceSettings } from "./resource.ts";
import { storeKind } from "./urls.ts";

/** `reads` are the keys of the same policy that the judgement rests on. */
export type Tell = (key: string, message: string, ...reads: string[]) => void;

/** `methods` of the match; `undefined` for the defaults, which have none. */
export function tellResource(
  values: PolicyValues,
  methods: readonly string[] | undefined,
  tell: Tell,
): void {
  const { resource } = values;
  if (resource === undefined) {
    if (values.replay.whenChanged === "conflict") {
      tell(
        "replay.whenChanged",
        "must not be conflict without a resource, which says what it is that may have changed and stands in a route",
        "resource",
      );
    }
    return;
  }
  if (methods === undefined) {
    // Guarding whatever no route names would buffer and lock traffic that nobody has thought of.
    tell(
      "resource",
      "must not stand here: it says what the requests of one route change; a last route with match.path: /* says it for all others",
    );
    return;
  }
  tellSurroundings(values, tell);
  tellAuthorize(values, tell);
  tellId(resource, tell);
  const asks = askingForLock(resource);
  if (serializeOf(resource) === "off" && asks.length > 0) {
    tell(
      "resource.serialize",
      `must not be off with ${asks.join(", ")}: what is judged there holds only while no other write runs; use wait or reject`,
      ...asks.map((key) => `resource.${key}`),
    );
  }
  tellMethods(resource, methods, tell);
}

function tellSurroundings({ mode, onStoreError }: PolicyValues, tell: Tell): void {
  if (mode === "off") {
    tell(
      "resource",
      "has no effect with mode: off, which guards nothing; leave one of the two out",
      "mode",
    );
  }
  if (mode === "shadow") {
    tell(
      "resource",
      "must be left out with mode: shadow: what a resource's rules would have refused cannot be told without its lock, which is not taken there",
      "mode",
    );
  }
  if (onStoreError === "bypass") {
    tell(
      "resource",
      "needs onStoreError: reject: without the store nothing is known of the resource, and a write would be sent unguarded",
      "onStoreError",
    );
  }
}

/** An answer that is told again past whoever is asked. */
function tellAuthorize({ resource, replay }: PolicyValues, tell: Tell): void {
  if (replay.authorize === "" || resource?.afterDelete === undefined) return;
  if (resource.afterDelete.delete === "pass") return;
  tell(
    "resource.afterDelete.delete",
    "must be pass with replay.authorize, which is not asked before the answer of a deletion is told again",
    "replay.authorize",
  );
}

function tellId({ id, precondition, put }: ResourceSettings, tell: Tell): void {
  if (id === undefined) {
    tell("resource.id", "is required: path, a mapping with pointers or a mapping with template");
    return;
  }
  if (id === "path") return;
  if ((id.pointers === undefined) === (id.template === undefined)) {
    tell("resource.id", "must have one of pointers and template");
    return;
  }
  if (id.pointers === undefined) return;
  if (id.pointers.length === 0) {
    tell("resource.id.pointers", "must have at least one JSON Pointer");
  }
  const needsAddress = { precondition: precondition ?? "off", put: put ?? "upsert" };
  for (const [key, value] of Object.entries(needsAddress)) {
    if (value === "off" || value === "upsert") continue;
    tell(
      `resource.${key}`,
      `must not be ${value} with id.pointers: it reads the resource from the upstream, and fields of a body are no address; use id: path or a template`,
      "resource.id",
    );
  }
}

/** What the route's methods make void. No methods: every unsafe one. */
function tellMethods(resource: ResourceSettings, methods: readonly string[], tell: Tell): void {
  const takes = (judged: (method: string) => boolean) =>
    methods.length === 0 || methods.some((method) => !SAFE_METHODS.has(method) && judged(method));
  const none = (key: string, lacking: string) =>
    tell(
      `resource.${key}`,
      `has no effect where match.methods has ${lacking}; leave it out`,
      "match.methods",
    );
  if ((resource.put ?? "upsert") !== "upsert" && !takes((method) => method === "PUT")) {
    none("put", "no PUT");
  }
  // A POST makes anew, and ends the memory of a deletion.
  if (resource.afterDelete !== undefined && !takes((method) => method !== "POST")) {
    none("afterDelete", "neither DELETE nor PUT");
  }
  if (resource.precondition === "required" && !takes(() => true)) {
    none("precondition", "safe methods only, which change nothing");
  }
  // A DELETE gives the resource up; it cannot be the first to have it.
  if (resource.once === true && !takes((method) => method !== "DELETE")) {
    none("once", "no method that makes or changes something");
  }
}

/**
 * Locks on servers of their own are for several gateways. What a resource's rules remember must then be known to all of
 * them as well, which a directory of one host or a process's memory is not.
 */
export function localMemory(file: FileConfig, url: string): readonly Contradiction[] {
  const kind = storeKind(url);
  if ((file.locks?.nodes ?? []).length === 0 || (kind !== "file" && kind !== "memory")) return [];
  return (file.routes ?? []).flatMap(({ resource, replay }, index) => {
    if (resource === undefined) return [];
    const remembering = [
      ...askingForLock(resource)
        .filter((key) => key === "once" || key === "afterDelete")
        .map((key) => `resource.${key}`),
      ...(replay?.whenChanged === "conflict" ? ["replay.whenChanged"] : []),
    ];
    return remembering.map((key) => ({
      path: `routes[${index}].${key}`,
      message: `needs a redis: store with locks.nodes: those locks are for several gateways, and of a ${kind}: store only one knows what is remembered`,
      reads: ["locks.nodes", "store.url"],
    }));
  });
}
