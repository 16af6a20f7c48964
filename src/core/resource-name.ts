/**
 * What a resource is called: which of a request's parts name the thing that it changes, and which spellings name the
 * same thing. Whether there is such a thing, and what may happen to it, is not decided here.
 */
import { Digest } from "./digest.ts";
import { canonicalNumber, isNumber, pointTo, writeCanonical } from "./json.ts";
import type { ResourceId } from "./policy.ts";
import type { JsonValue } from "./json-ports.ts";

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

/** `unnamed`: the request does not say, or not in one voice, which resource it means. `detail` says what to send. */
export type ResourceName = NamedResource | { readonly kind: "unnamed"; readonly detail: string };

/**
 * The resource's id, 64 hex digits: no scope goes in, because all callers mean the same thing. Named by a path (the
 * request's own, or the one that a template spells), or by fields of the body together with the request's path.
 */
export function nameResource(rule: ResourceId, source: ResourceSource): ResourceName {
  switch (rule.from) {
    case "path": {
      // What stands behind it could name another thing or none: with a path of one's own it must not be guessed at.
      if (source.query !== "") return unnamed(ALONE);
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
    if (value === undefined || value === null) return unnamed(missing(pointer));
    values.push(value);
  }
  const id = idOf(`${samePath(path)} ${writeCanonical(values)}`);
  return { kind: "named", id, path: undefined, address: undefined };
}

const ALONE = "This route's requests name the resource by their path alone. Send no query.";

function missing(field: string): string {
  return `This route's requests name the resource that they change by ${field}, which is missing or cannot name one. Send it.`;
}

function unnamed(detail: string): ResourceName {
  return { kind: "unnamed", detail };
}

/** `{id}` is a parameter of the route's path, a query parameter, or a member of the body; where several, all the same. */
function fillTemplate(template: string, source: ResourceSource): ResourceName {
  let refused: string | undefined;
  const path = template.replace(/\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, name: string) => {
    const values = new Set(templateValues(name, source));
    const [value] = values;
    if (value === undefined) refused ??= missing(name);
    // DANGER: one of two would be the gateway's thing and the other the upstream's.
    if (values.size > 1)
      refused ??= `The request names ${name} twice, and not the same. Send it once.`;
    return value ?? "";
  });
  return refused === undefined ? { ...namePath(path), address: path } : unnamed(refused);
}

function templateValues(name: string, source: ResourceSource): (string | undefined)[] {
  const given: (string | undefined)[] = queryValues(source.query, name);
  const parameter = source.parameters.get(name);
  if (parameter !== undefined) given.push(decoded(parameter));
  const member = source.json === undefined ? undefined : pointTo(source.json, `/${name}`);
  if (typeof member === "string") given.push(member);
  if (member !== undefined && isNumber(member)) given.push(plainNumber(member.literal));
  return given.filter((value) => value !== "").map(asSegment);
}

/** `7`, `7.0` and `70e-1` are one thing. */
function plainNumber(literal: string): string {
  const canonical = canonicalNumber(literal);
  const plain = String(Number(literal));
  return /^-?\d+$/.test(plain) && canonicalNumber(plain) === canonical ? plain : canonical;
}

/** As forms write them (`+` is a space), because upstreams read them so. */
function queryValues(query: string, name: string): (string | undefined)[] {
  const pairs = query.split("&").map((pair) => {
    const [field = "", ...rest] = pair.replaceAll("+", " ").split("=");
    return { field: decoded(field) ?? field, value: decoded(rest.join("=")) };
  });
  return pairs.filter(({ field }) => field === name).map(({ value }) => value);
}

/**
 * DANGER: the path is read from the upstream with the caller's credentials. A value must stay one segment of it: no
 * slash or question mark of its own, and no dot segment, which no escaping keeps from being resolved.
 */
function asSegment(text: string | undefined): string | undefined {
  return text === undefined || text === "." || text === ".." ? undefined : encoded(text);
}

/** The name of what is at a path. */
function namePath(path: string): Omit<NamedResource, "address"> {
  return { kind: "named", id: idOf(samePath(path)), path };
}

/** `a:b` and `a%3Ab` are one name, or a POST that brings it in its body would not mean what a PUT of its path does. */
function samePath(path: string): string {
  const segments = path.split("/").map((segment) => {
    const text = decoded(segment);
    return (text === undefined ? undefined : encoded(text)) ?? segment;
  });
  return segments.join("/");
}

/**
 * The id of the resource that the `Location` of an answer names: a URI reference (RFC 9110 §10.2.2), relative to what
 * was asked for. `host` is the request's `Host`: what is elsewhere is none of this gateway's resources.
 */
export function nameLocation(
  location: string,
  askedPath: string,
  host: string,
): string | undefined {
  const base = `http://${host}${askedPath}`;
  if (!URL.canParse(base) || !URL.canParse(location, base)) return undefined;
  const made = new URL(location, base);
  const here = /^https?:$/.test(made.protocol) && made.hostname === new URL(base).hostname;
  return here ? namePath(made.pathname).id : undefined;
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
  const digest = new Digest();
  digest.add("resource");
  digest.add(name);
  return digest.end();
}
