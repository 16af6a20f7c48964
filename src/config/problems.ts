/**
 * What is wrong with a configuration, as one line per problem: where it stands, and what would be right. Turns zod's
 * issues into such problems, and cuts the faulty parts out so that the rest can be checked further.
 */
import { z } from "zod";
import { fileSchema, type FileConfig } from "./file-schema.ts";
import { nearest } from "./nearest.ts";

type Path = readonly PropertyKey[];

/** One thing that is wrong, without the name of the file that it stands in. */
export interface Problem {
  /** `routes[0].key.name`; empty for the file as a whole. */
  readonly path: string;
  /** Says what would be right; quotes no value. */
  readonly message: string;
}

export interface Contradiction extends Problem {
  /** What else was looked at. Where one of these is faulty itself, the contradiction may not exist and is not told. */
  readonly reads: readonly string[];
}

/** What looking at each key by itself came to. */
export interface ShapeCheck {
  readonly problems: readonly Problem[];
  /** The file without its faulty parts; `undefined` when nothing is left to look at. */
  readonly sound: FileConfig | undefined;
  /** Paths of what was cut out. */
  readonly cut: readonly string[];
}

/** zod would first write a program for each object and compile it: for a file that is read once, that costs 10 ms. */
const ONCE = { jitless: true };

/** Checks the file key by key. */
export function checkShape(tree: unknown): ShapeCheck {
  const result = fileSchema.safeParse(tree, ONCE);
  // zod's records pass over a `__proto__` member in silence, so those are looked for here.
  const hidden = protoKeys(tree, []);
  if (result.success && hidden.length === 0) return { problems: [], sound: result.data, cut: [] };
  const faults = [
    ...(result.error?.issues ?? []).flatMap(faultsOf),
    ...hidden.map((path) => ({ path, message: "unknown key; remove it" })),
  ].filter(({ path }, index, all) => all.findIndex((f) => samePath(f.path, path)) === index);
  const places = faults.map(({ path }) => cuttable(path));
  const rest = fileSchema.safeParse(without(tree, places), ONCE);
  return {
    problems: faults.map(({ path, message }) => ({ path: formatPath(path), message })),
    sound: rest.success ? rest.data : undefined,
    cut: places.map(formatPath),
  };
}

interface Fault {
  readonly path: Path;
  readonly message: string;
}

function faultsOf(issue: z.core.$ZodIssue): readonly Fault[] {
  if (issue.code === "invalid_union") return unionFaults(issue);
  if (issue.code !== "unrecognized_keys") return [{ path: issue.path, message: issue.message }];
  const shape = shapeAt(issue.path);
  return issue.keys.map((key) => ({
    path: [...issue.path, key],
    message: `unknown key; ${hintFor(key, shape)}`,
  }));
}

/** Of a word or a mapping: a mapping is told what is wrong within it. */
function unionFaults(issue: z.core.$ZodIssueInvalidUnion): readonly Fault[] {
  const within = issue.errors.find((issues) =>
    issues.every(({ code, path }) => path.length > 0 || code === "unrecognized_keys"),
  );
  if (within === undefined) return [{ path: issue.path, message: issue.message }];
  return within.flatMap((each) => faultsOf({ ...each, path: [...issue.path, ...each.path] }));
}

/** A near name; or where that very name belongs; or the names there are. */
function hintFor(key: string, shape: z.core.$ZodShape): string {
  const known = Object.keys(shape);
  const below = known.flatMap((name) => {
    const inner = unwrap(shape[name]);
    return inner instanceof z.ZodObject && Object.hasOwn(inner.shape, key)
      ? [`${name}.${key}`]
      : [];
  });
  if (below.length > 0) return `did you mean ${below.map((path) => `"${path}"`).join(" or ")}?`;
  const near = nearest(key, known);
  return near === undefined ? `known here: ${known.join(", ")}` : `did you mean "${near}"?`;
}

/** The keys that are known where the path leads; none where it leads out of the schema. */
function shapeAt(path: Path): z.core.$ZodShape {
  let schema: unknown = fileSchema;
  for (const part of path) {
    if (schema instanceof z.ZodObject) schema = unwrap(schema.shape[String(part)]);
    else if (schema instanceof z.ZodArray) schema = schema.element;
  }
  return schema instanceof z.ZodObject ? schema.shape : {};
}

function unwrap(schema: unknown): unknown {
  const inner = schema instanceof z.ZodExactOptional ? schema.unwrap() : schema;
  // Of a word or a mapping: only the mapping has keys.
  if (!(inner instanceof z.ZodUnion)) return inner;
  return inner.options.find((option) => option instanceof z.ZodObject);
}

function protoKeys(value: unknown, path: Path): readonly Path[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.keys(value).flatMap((key) => {
    const here = [...path, Array.isArray(value) ? Number(key) : key];
    if (key === "__proto__") return [here];
    return protoKeys(memberOf(value, key), here);
  });
}

/** One bad element spoils its list, except for `routes`, whose faults lie deeper. */
function cuttable(path: Path): Path {
  const deep = path[0] === "routes" && path.length > 2 ? 2 : 0;
  const index = path.findIndex((part, at) => at >= deep && typeof part === "number");
  return index === -1 ? path : path.slice(0, index);
}

/** A copy without the given places. The original stays as it was read: problems still speak of it. */
function without(tree: unknown, places: readonly Path[]): unknown {
  const copy: unknown = structuredClone(tree);
  for (const place of places) {
    let holder = copy;
    for (const part of place.slice(0, -1)) holder = memberOf(holder, part);
    const last = place.at(-1);
    if (last !== undefined && typeof holder === "object" && holder !== null) {
      Reflect.deleteProperty(holder, last);
    }
  }
  return copy;
}

function memberOf(holder: unknown, part: PropertyKey): unknown {
  // Own members only: a file's `constructor:` must not lead to Object's.
  if (typeof holder !== "object" || holder === null || !Object.hasOwn(holder, part))
    return undefined;
  const member: unknown = Reflect.get(holder, part);
  return member;
}

function samePath(a: Path, b: Path): boolean {
  return a.length === b.length && a.every((part, index) => part === b[index]);
}

/** `routes[0].key.name`; a name that would be hard to read, or would break the line, is quoted as JSON. */
export function formatPath(path: Path): string {
  return path
    .map((part, index) => {
      if (typeof part === "number") return `[${part}]`;
      const name = String(part);
      const plain = /^[A-Za-z0-9_-]{1,64}$/u.test(name) ? name : JSON.stringify(name.slice(0, 64));
      return index === 0 ? plain : `.${plain}`;
    })
    .join("");
}
