/**
 * What a resource is called: which of a request's parts name the thing that it changes, and which spellings name the
 * same thing. Whether there is such a thing, and what may happen to it, is not decided here.
 */
import { createHash } from "node:crypto";
import { pointTo, writeCanonical } from "./json.ts";
import { addPart } from "./key.ts";
import type { ResourceId } from "./policy.ts";
import type { JsonValue } from "./ports.ts";

/** What the parts of a template and the pointers are taken from. */
export interface ResourceSource {
  readonly method: string;
  /** The canonical path. */
  readonly path: string;
  readonly query: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly json: JsonValue | undefined;
}

export interface NamedResource {
  readonly kind: "named";
  readonly id: string;
  /** Where the upstream shows it; `undefined` where it is named by fields, which are no address. */
  readonly path: string | undefined;
  /** Where what this request makes will be found, whether or not the upstream's answer says so in its `Location`. */
  readonly address: string | undefined;
}

/** `unnamed`: the request does not say which resource it means; `missing` names the field. */
export type ResourceName = NamedResource | { readonly kind: "unnamed"; readonly missing: string };

/**
 * The resource's id, 64 hex digits: no scope goes in, because all callers mean the same thing. Named by a path (the
 * request's own, or the one that a template spells), or by fields of the body together with the request's path.
 */
export function nameResource(rule: ResourceId, source: ResourceSource): ResourceName {
  switch (rule.from) {
    case "path": {
      // RFC 9110 §15.3.2: what a PUT has created is at its target. A POST's target is something else.
      const address = source.method === "PUT" ? source.path : undefined;
      return { ...namePath(source.path), address };
    }
    case "template":
      return fillTemplate(rule.template, source);
    case "body":
      return nameByFields(rule.pointers, source);
  }
}

function nameByFields(pointers: readonly string[], { json, path }: ResourceSource): ResourceName {
  const values: JsonValue[] = [];
  for (const pointer of pointers) {
    const value = json === undefined ? undefined : pointTo(json, pointer);
    if (value === undefined || value === null) return { kind: "unnamed", missing: pointer };
    values.push(value);
  }
  const id = idOf(`${path} ${writeCanonical(values)}`);
  return { kind: "named", id, path: undefined, address: undefined };
}

/** `{id}` is a parameter of the route's path, a query parameter, or a member of the body, whichever is there first. */
function fillTemplate(template: string, source: ResourceSource): ResourceName {
  let missing: string | undefined;
  const path = template.replace(/\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, name: string) => {
    const value = templateValue(name, source);
    if (value === undefined) missing ??= name;
    return value ?? "";
  });
  return missing === undefined
    ? { ...namePath(path), address: path }
    : { kind: "unnamed", missing };
}

function templateValue(name: string, source: ResourceSource): string | undefined {
  const parameter = source.parameters.get(name) ?? queryValue(source.query, name);
  if (parameter !== undefined && parameter !== "") return asSegment(decoded(parameter));
  const member = source.json === undefined ? undefined : pointTo(source.json, `/${name}`);
  if (typeof member === "string" && member !== "") return asSegment(member);
  const isNumber = typeof member === "object" && member !== null && "literal" in member;
  return isNumber ? asSegment(member.literal) : undefined;
}

/**
 * DANGER: the path is read from the upstream with the caller's credentials. A value must stay one segment of it: no
 * slash or question mark of its own, and no dot segment, which no escaping keeps from being resolved.
 */
function asSegment(text: string | undefined): string | undefined {
  return text === undefined || text === "." || text === ".." ? undefined : encoded(text);
}

function queryValue(query: string, name: string): string | undefined {
  const pair = query.split("&").find((each) => each.startsWith(`${name}=`));
  return pair?.slice(name.length + 1);
}

/** The name of what is at a path. */
function namePath(path: string): Omit<NamedResource, "address"> {
  // `a:b` and `a%3Ab` are one name, or a POST that brings it in its body would not mean what a PUT of its path does.
  const segments = path.split("/").map((segment) => {
    const text = decoded(segment);
    return (text === undefined ? undefined : encoded(text)) ?? segment;
  });
  return { kind: "named", id: idOf(segments.join("/")), path };
}

/**
 * The id of the resource that the `Location` of an answer names: a URI reference (RFC 9110 §10.2.2), relative to the
 * path that was asked for. By its path alone, because the gateway does not know by which names it is called.
 */
export function nameLocation(location: string, askedPath: string): string | undefined {
  const base = `http://upstream${askedPath}`;
  if (!URL.canParse(location, base)) return undefined;
  const { protocol, pathname } = new URL(location, base);
  return /^https?:$/.test(protocol) ? namePath(pathname).id : undefined;
}

/** `undefined`: not UTF-8 behind the escapes. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** `undefined`: half a surrogate pair, which has no UTF-8. */
function encoded(text: string): string | undefined {
  try {
    return encodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function idOf(name: string): string {
  const hash = createHash("sha256");
  addPart(hash, "resource");
  addPart(hash, name);
  return hash.digest("hex");
}
