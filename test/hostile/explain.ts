/**
 * Whether what the upstream saw is explained by what one client sent: each request of it at most once, with the same
 * method, target and body, with no field that the client did not send and the gateway does not set.
 */
import { valuesOf, type SeenRequest } from "./reader.ts";

/** Set, replaced or re-framed by the gateway. */
const OF_THE_GATEWAY: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "idempotency-fence",
  "transfer-encoding",
  "upgrade",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
]);

/** What a client sent, and which request at the upstream each is taken to explain. */
export interface Explanation {
  readonly sent: readonly SeenRequest[];
  /** By the place in `sent`. */
  readonly of: Map<number, SeenRequest>;
}

/**
 * Finds a request of the client's for `seen`; those found for others before may move to another one that explains them, too.
 * False: there are not enough.
 */
export function explain(
  seen: SeenRequest,
  explanation: Explanation,
  tried = new Set<number>(),
): boolean {
  for (const [at, sent] of explanation.sent.entries()) {
    if (tried.has(at) || unexplained(seen, sent) !== undefined) continue;
    tried.add(at);
    const other = explanation.of.get(at);
    if (other !== undefined && !explain(other, explanation, tried)) continue;
    explanation.of.set(at, seen);
    return true;
  }
  return false;
}

/** `undefined` where `sent` explains it; otherwise why it does not. */
export function unexplained(seen: SeenRequest, sent: SeenRequest): string | undefined {
  if (seen.method !== sent.method) return "method";
  if (canonicalTarget(seen) !== canonicalTarget(sent)) return "target";
  if (seen.whole && !(sent.whole && seen.body.equals(sent.body))) return "body";
  if (!sent.body.subarray(0, seen.body.length).equals(seen.body)) return "part of the body";
  for (const [name, value] of seen.fields) {
    const lower = name.toLowerCase();
    if (OF_THE_GATEWAY.has(lower)) continue;
    if (!sent.fields.some(([other, own]) => other === name && own === value))
      return `field ${name}`;
  }
  const [host] = valuesOf(sent.fields, "host");
  if (host !== undefined && valuesOf(seen.fields, "host")[0] !== host) return "host";
  return undefined;
}

/** What both name, however it is written. */
export function canonicalTarget({ target }: SeenRequest): string {
  return canonical(originForm(target));
}

/** RFC 9112 §3.2.2: an absolute target names a path of ours. */
function originForm(target: string): string {
  const absolute = /^https?:\/\/[^/?#]+(.*)$/i.exec(target);
  if (absolute === null) return target;
  const rest = absolute[1] ?? "";
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** Escapes that mean the same are the same (RFC 3986 §6.2.2). */
function canonical(target: string): string {
  return target.replace(/%([0-9a-f]{2})/gi, (escape, hex: string) => {
    const char = String.fromCharCode(Number.parseInt(hex, 16));
    return /[\w\-.~]/.test(char) ? char : escape.toUpperCase();
  });
}
