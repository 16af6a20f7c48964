/**
 * A route's resource, from the words of the file to the values of the gateway and back. What may stand there is in
 * `policy-schema.ts`, what contradicts what in `resource-contradictions.ts`.
 */
import type { ResourceId, ResourcePolicy } from "../core/policy.ts";
import { DEFAULT_RESOURCE } from "./defaults.ts";
import type { PolicySettings } from "./file-schema.ts";
import { formatDuration, parseDuration } from "./units.ts";

export type ResourceSettings = NonNullable<PolicySettings["resource"]>;

/** What can ask for the resource's lock, in the words of the file. */
const LOCKED = ["precondition", "put", "once", "afterDelete"] as const;

/**
 * The keys whose judgement holds only while nobody else writes: each reads how the resource stands, and acts on it
 * later.
 */
export function askingForLock(own: ResourceSettings): readonly (typeof LOCKED)[number][] {
  const { precondition, put, once } = { ...DEFAULT_RESOURCE, ...own };
  const asks = {
    precondition: precondition !== "off",
    put: put !== "upsert",
    once,
    afterDelete: own.afterDelete !== undefined,
  };
  return LOCKED.filter((key) => asks[key]);
}

/** Waiting is what most clients would do themselves, and a lock that nothing asks for is not taken. */
export function serializeOf(own: ResourceSettings): ResourcePolicy["serialize"] {
  return own.serialize ?? (askingForLock(own).length > 0 ? "wait" : "off");
}

/** Whether a write may have to read the current representation from the upstream first. */
export function mayProbe(own: ResourceSettings): boolean {
  const { precondition, put } = { ...DEFAULT_RESOURCE, ...own };
  return precondition !== "off" || put !== "upsert";
}

/** `undefined` for what was not checked, and for nothing else. */
export function resolveResource(own: ResourceSettings): ResourcePolicy | undefined {
  const id = resolveId(own.id);
  const { precondition, put, once } = { ...DEFAULT_RESOURCE, ...own };
  const afterDelete = own.afterDelete && { ...DEFAULT_RESOURCE.afterDelete, ...own.afterDelete };
  const rememberMs = afterDelete && parseDuration(afterDelete.remember);
  if (id === undefined || (afterDelete !== undefined && rememberMs === undefined)) return undefined;
  return {
    id,
    serialize: serializeOf(own),
    precondition,
    put,
    once,
    afterDelete:
      afterDelete === undefined || rememberMs === undefined
        ? undefined
        : { rememberMs, put: afterDelete.put, delete: afterDelete.delete },
  };
}

function resolveId(id: ResourceSettings["id"]): ResourceId | undefined {
  if (id === undefined || id === "path") return id && { from: id };
  if (id.template !== undefined) return { from: "template", template: id.template };
  return id.pointers && { from: "body", pointers: id.pointers };
}

/** What the file must say to come to this resource again. */
export function describeResource(policy: ResourcePolicy): ResourceSettings {
  const { id, serialize, precondition, put, once, afterDelete } = policy;
  return {
    id: describeId(id),
    serialize,
    precondition,
    put,
    once,
    ...(afterDelete && {
      afterDelete: {
        remember: formatDuration(afterDelete.rememberMs),
        put: afterDelete.put,
        delete: afterDelete.delete,
      },
    }),
  };
}

function describeId(id: ResourceId): NonNullable<ResourceSettings["id"]> {
  switch (id.from) {
    case "path":
      return "path";
    case "template":
      return { template: id.template };
    case "body":
      return { pointers: [...id.pointers] };
  }
}
