/**
 * How a route takes over what the defaults say: key by key, through every group. A list or a single value that the
 * route gives itself replaces the inherited one whole.
 */
import type { PolicySettings } from "./file-schema.ts";

type Group<Name extends keyof PolicySettings> = Required<NonNullable<PolicySettings[Name]>>;
type KeySettings = NonNullable<PolicySettings["key"]>;
/** `name` and `pointers` belong to one `from` and have no value without it. */
export type KeyValues = Required<Omit<KeySettings, "name" | "pointers">> &
  Pick<KeySettings, "name" | "pointers">;
type ScopeSettings = NonNullable<PolicySettings["scope"]>;
/** Without a `jwt` the caller is named by headers. */
export type ScopeValues = Required<Omit<ScopeSettings, "jwt">> & Pick<ScopeSettings, "jwt">;
type ProbeSettings = NonNullable<PolicySettings["probe"]>;
export type ProbeValues = Required<Omit<ProbeSettings, "path" | "releaseAfter">> &
  Pick<ProbeSettings, "path" | "releaseAfter">;
type Grouped =
  | "key"
  | "scope"
  | "fingerprint"
  | "duplicates"
  | "probe"
  | "retention"
  | "limits"
  | "respond"
  | "replay";

/** A policy in the words of the file, with every value present but a resource, which most routes do not have. */
export type PolicyValues = Required<Omit<PolicySettings, Grouped | "resource">> & {
  resource?: NonNullable<PolicySettings["resource"]>;
  key: KeyValues;
  scope: ScopeValues;
  fingerprint: Group<"fingerprint">;
  duplicates: Group<"duplicates">;
  probe: ProbeValues;
  retention: Group<"retention">;
  limits: Group<"limits">;
  respond: Group<"respond">;
  replay: Group<"replay">;
};

/** `base` where `own` says nothing. */
export function inherit(base: PolicyValues, own: PolicySettings): PolicyValues {
  return {
    ...base,
    ...own,
    status: { ...base.status, ...own.status },
    key: inheritKey(base.key, own.key ?? {}),
    scope: inheritScope(base.scope, own.scope ?? {}),
    fingerprint: { ...base.fingerprint, ...own.fingerprint },
    duplicates: { ...base.duplicates, ...own.duplicates },
    probe: { ...base.probe, ...own.probe },
    retention: { ...base.retention, ...own.retention },
    limits: { ...base.limits, ...own.limits },
    respond: { ...base.respond, ...own.respond },
    replay: {
      ...base.replay,
      ...own.replay,
      status: { ...base.replay.status, ...own.replay?.status },
    },
  };
}

/** Who names headers takes the caller from them, whatever token the others go by. */
function inheritScope(base: ScopeValues, own: ScopeSettings): ScopeValues {
  const headers = own.headers ?? base.headers;
  if (own.jwt === undefined) return own.headers === undefined ? base : { headers };
  return { headers, jwt: { ...base.jwt, ...own.jwt } };
}

/** A key taken from elsewhere does not inherit what it was called there. */
function inheritKey(base: KeyValues, own: KeySettings): KeyValues {
  if (own.from === undefined || own.from === base.from) return { ...base, ...own };
  return { required: base.required, format: base.format, ...own, from: own.from };
}
