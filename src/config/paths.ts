/**
 * The path patterns of routes, as far as the configuration has to understand them: is it one, what are its
 * parameters, and does an earlier one leave anything to a later one. Matching requests is the core's business.
 */

/** RFC 9110 §9.2.1. */
export const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** RFC 3986 §3.3 `pchar`, percent-escapes whole. */
const SEGMENT = /^([A-Za-z0-9\-._~!$&'()+,;=:@]|%[0-9A-Fa-f]{2})+$/u;
const PARAMETER = /^:[A-Za-z_][A-Za-z0-9_]*$/u;

/** What is wrong with a path pattern, or `undefined`. */
export function pathFault(path: string): string | undefined {
  if (!path.startsWith("/")) return 'must begin with "/"';
  if (/[?#]/u.test(path)) return "must not have a query or fragment: routes match the path alone";
  const segments = path.slice(1).split("/");
  const last = segments.length - 1;
  for (const [index, segment] of segments.entries()) {
    if (segment === "" && index < last) return 'must not have an empty segment ("//")';
    if (segment.includes("*") && (segment !== "*" || index < last)) {
      return 'may have "*" only as its whole last segment: /files/*';
    }
    // The listener refuses these before any route is tried, so a pattern with them could never match.
    if (/^(\.|%2e){1,2}$/iu.test(segment)) return 'must not have "." or ".." segments';
    if (/%(2f|5c|00)/iu.test(segment)) return "must not have an encoded slash, backslash or NUL";
    if (segment.startsWith(":") && !PARAMETER.test(segment)) {
      return "has a parameter without a proper name: write :name, of letters, digits and _";
    }
    if (segment !== "" && segment !== "*" && !SEGMENT.test(segment)) {
      return "has a character that a path cannot have (RFC 3986 §3.3); percent-encode it";
    }
  }
  const names = pathParameters(path);
  const repeated = names.find((name, index) => names.indexOf(name) < index);
  return repeated === undefined ? undefined : `names the parameter :${repeated} twice`;
}

/** What is wrong with the template of a resource's path, or `undefined`. */
export function templateFault(template: string): string | undefined {
  if (/[?#]/u.test(template)) {
    return "must not have a query or fragment: a resource is named by its path";
  }
  // A filled part is one segment or a piece of one, which any plain word stands for here.
  const filled = template.replace(/\{[A-Za-z_][A-Za-z0-9_]*\}/gu, "x");
  if (/[{}]/u.test(filled)) {
    return "has braces without a proper name in them: write {name}, of letters, digits and _";
  }
  if (filled.split("/").some((segment) => segment.startsWith(":") || segment === "*")) {
    return "names its parts in braces: /objects/{id}";
  }
  const fault = pathFault(filled);
  if (fault !== undefined) return fault;
  return filled === template
    ? "must have a {name} part, or all requests would mean one resource: /objects/{id}"
    : undefined;
}

/** The names of a pattern's parameters, without the colon. */
export function pathParameters(path: string): readonly string[] {
  return path
    .split("/")
    .filter((segment) => segment.startsWith(":"))
    .map((segment) => segment.slice(1));
}

export interface Match {
  /** Empty: every unsafe method; a safe one is matched only where it is listed. */
  readonly methods: readonly string[];
  readonly path: string;
}

/**
 * The indexes of the earlier matches that together leave nothing to `later`, or `undefined` when something can still
 * reach it. Cautious: says so only where it is certain.
 */
export function shadowedBy(later: Match, earlier: readonly Match[]): readonly number[] | undefined {
  const wider = [...earlier.entries()].filter(([, match]) => coversPath(match.path, later.path));
  const wanted = later.methods.length === 0 ? [EVERY_UNSAFE] : later.methods;
  const takers = wanted.map((method) => wider.find(([, match]) => takes(match.methods, method)));
  if (takers.includes(undefined)) return undefined;
  return [...new Set(takers.flatMap((taker) => (taker === undefined ? [] : [taker[0]])))];
}

/** "Every unsafe method" includes ones that nobody has listed, so listed methods never use it up. */
const EVERY_UNSAFE = "";

function takes(methods: readonly string[], method: string): boolean {
  return methods.length === 0 ? !SAFE_METHODS.has(method) : methods.includes(method);
}

/** Whether both can match some path: for tables in which nearly none can, on patterns that were split beforehand. */
export function mayMeet(a: readonly string[], b: readonly string[]): boolean {
  for (let at = 0; ; at += 1) {
    const [one, other] = [a[at], b[at]];
    if (one === undefined || other === undefined) return one === other;
    if (one === "*" || other === "*") return true;
    if (one !== other && !one.startsWith(":") && !other.startsWith(":")) return false;
  }
}

/** What both match, or `undefined` where nothing is. */
export function meet(a: Match, b: Match): Match | undefined {
  const path = meetPaths(a.path.slice(1).split("/"), b.path.slice(1).split("/"));
  if (path === undefined) return undefined;
  if (a.methods.length === 0 && b.methods.length === 0) return { methods: [], path };
  const methods = a.methods.length === 0 ? b.methods : a.methods;
  const both = methods.filter((method) => takes(a.methods, method) && takes(b.methods, method));
  return both.length === 0 ? undefined : { methods: both, path };
}

function meetPaths(a: readonly string[], b: readonly string[]): string | undefined {
  const met: string[] = [];
  for (let at = 0; at < a.length || at < b.length; at += 1) {
    const [one, other] = [a[at], b[at]];
    // Either is over where the other goes on: "*" stands for at least one segment.
    if (one === undefined || other === undefined) return undefined;
    if (one === "*" || other === "*") {
      met.push(...(one === "*" ? b : a).slice(at));
      break;
    }
    const segment = meetSegments(one, other);
    if (segment === undefined) return undefined;
    met.push(segment);
  }
  return `/${met.join("/")}`;
}

/** A parameter takes any segment but an empty one. */
function meetSegments(one: string, other: string): string | undefined {
  if (one === other) return one;
  if (one.startsWith(":") && other !== "") return other;
  return other.startsWith(":") && one !== "" ? one : undefined;
}

function coversPath(wide: string, narrow: string): boolean {
  const wideSegments = wide.slice(1).split("/");
  const narrowSegments = narrow.slice(1).split("/");
  for (const [index, segment] of wideSegments.entries()) {
    const other = narrowSegments[index];
    if (other === undefined) return false;
    if (segment === "*") return true;
    if (other === "*") return false;
    // An empty last segment is a trailing slash; whether a parameter takes it is not decided here.
    const covers = segment.startsWith(":") ? other !== "" : segment === other;
    if (!covers) return false;
  }
  return wideSegments.length === narrowSegments.length;
}
