/**
 * What the listener refuses although Node's parser lets it through: heads that two readers could understand in two
 * ways. Pure, over the head as received. Bodies, timing and what the parser itself refuses are not judged here.
 */
import type { IncomingMessage } from "node:http";
import type { ProblemCode } from "../core/outcome.ts";
import type { HeaderPair } from "../core/record.ts";
import { isSafe } from "../core/route.ts";
import { isForwardingField, pairsOf, tokensOf, valuesOf } from "./headers.ts";
import { canonicalAuthority, canonicalTarget, readAbsolute } from "./target.ts";

export interface ScreenRules {
  /** Lower-case names of all headers that some route takes its key from. */
  readonly keyHeaders: readonly string[];
  /** Lower-case names of all headers that name a caller. */
  readonly credentialHeaders: readonly string[];
  /** Safe methods that some route guards; unsafe ones count as guarded always. Upper-case. */
  readonly guardedReads: ReadonlySet<string>;
}

/** A request's head as the parser gives it, before anybody has made anything of it. */
export interface Head {
  readonly method: string;
  readonly rawTarget: string;
  /** As in `1.1`. */
  readonly httpVersion: string;
  readonly headers: readonly HeaderPair[];
}

export type Screened =
  | { readonly kind: "ok"; readonly target: string }
  | {
      readonly kind: "refused";
      readonly status: number;
      readonly code: Extract<ProblemCode, "request-invalid" | "key-invalid">;
      /** What to do instead; quotes nothing of the request. */
      readonly detail: string;
    };

export type Screen = (head: Head) => Screened;

type Refused = Extract<Screened, { kind: "refused" }>;

/** Node 20 silently keeps 1000 fields; none that matters may hide behind a limit. */
const MAX_FIELDS = 100;

/** RFC 3986 §3.2.2 without user information: a name, an IPv4 address or an IPv6 literal, and a port. */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[\w\-.~%!$&'()*+;=]+)(?::\d{1,5})?$/;

/** Fields that decide about framing, routing and identity: `Connection` must not name them, nor a twin stand in. */
const PROTECTED = [
  "authorization",
  "content-type",
  "content-length",
  "cookie",
  "host",
  "transfer-encoding",
];

/** Only the gateway says it; a client's own is dropped on the way to the upstream. */
const FENCE = "idempotency-fence";

export function headOf(req: IncomingMessage): Head {
  return {
    method: req.method ?? "",
    rawTarget: req.url ?? "",
    httpVersion: req.httpVersion,
    headers: pairsOf(req.rawHeaders),
  };
}

/**
 * In an order that matters: what counts the fields comes before what reads one of them, and the target, of which
 * `Host` is a part, comes last. The first objection is told; a client corrects one thing at a time.
 */
export function newScreen(rules: ScreenRules): Screen {
  const names = {
    keys: new Set(rules.keyHeaders),
    protected: new Set([...PROTECTED, ...rules.keyHeaders, ...rules.credentialHeaders]),
  };
  return (head) =>
    screenVersion(head) ??
    screenFields(head, names) ??
    screenFraming(head) ??
    screenHost(head) ??
    screenUpgrade(head) ??
    screenTarget(head, rules);
}

/** Lower-case. */
interface Names {
  readonly keys: ReadonlySet<string>;
  /** The keys among them. */
  readonly protected: ReadonlySet<string>;
}

/** RFC 9112 §2.3: the parser takes `HTTP/2.0` on the wire for a version it knows. */
function screenVersion(head: Head): Refused | undefined {
  if (head.httpVersion === "1.1" || head.httpVersion === "1.0") return undefined;
  return refused("Use HTTP/1.1 or HTTP/1.0.", 505);
}

/** Fields that two readers could take for different ones: too many, twice, by another name, or removed on the way. */
function screenFields({ headers, httpVersion }: Head, names: Names): Refused | undefined {
  if (headers.length > MAX_FIELDS) {
    return refused(`Send at most ${MAX_FIELDS} header fields.`, 431);
  }
  const seen: string[] = [];
  const twice: string[] = [];
  for (const [name] of headers) {
    const lower = name.toLowerCase();
    if (names.protected.has(lower)) (seen.includes(lower) ? twice : seen).push(lower);
    if (!lower.includes("_")) continue;
    // CGI-like upstreams read `x_forwarded_for` and `x-forwarded-for` as one name.
    const twin = lower.replaceAll("_", "-");
    if (names.protected.has(twin) || isForwardingField(twin) || twin === FENCE) {
      return refused("Write header names with hyphens, not underscores.");
    }
  }
  // The key first: its own code tells a client what to correct.
  if (twice.some((name) => names.keys.has(name))) {
    return refused("Send the idempotency key in one header field only.", 400, "key-invalid");
  }
  // Node keeps the first of some of these and joins others; an upstream may see the last.
  if (twice.length > 0) {
    return refused("Send Host, Content-Type, Content-Length and each credential field once.");
  }
  // Naming a field in Connection removes it on the way (RFC 9110 §7.6.1): the upstream would miss what was judged here.
  const named = tokensOf(headers, "connection");
  if (named.some((name) => names.protected.has(name) || isForwardingField(name))) {
    return refused("Name only hop-by-hop fields in Connection.");
  }
  // RFC 9112 §9.3: `close` wins. Node's parser goes on behind both from a 1.0 client, and would run what another reader
  // takes for rest.
  if (httpVersion === "1.0" && named.includes("close") && named.includes("keep-alive")) {
    return refused("Name either close or keep-alive in Connection.");
  }
  return undefined;
}

/** RFC 9112 §6.1: what follows `Transfer-Encoding` must be understood, or the body's end is not. */
function screenFraming(head: Head): Refused | undefined {
  // Node counts to 2^64, JavaScript and some upstreams do not: what a longer number means is not told to two readers alike.
  const lengths = valuesOf(head.headers, "content-length");
  if (lengths.some((length) => !/^\d{1,15}$/.test(length))) {
    return refused("Send a Content-Length of at most 15 digits.");
  }
  const codings = valuesOf(head.headers, "transfer-encoding");
  if (codings.length === 0) return undefined;
  if (head.httpVersion === "1.0") {
    return refused("HTTP/1.0 has no Transfer-Encoding. Send Content-Length.");
  }
  if (codings.length > 1 || codings[0]?.trim().toLowerCase() !== "chunked") {
    return refused("Use no Transfer-Encoding but chunked.", 501);
  }
  if (lengths.length > 0) {
    return refused("Send either Content-Length or Transfer-Encoding.");
  }
  return undefined;
}

/** RFC 9112 §3.2; that there is no second one is settled by then. */
function screenHost(head: Head): Refused | undefined {
  const [host] = valuesOf(head.headers, "host");
  if (host === undefined && head.httpVersion === "1.0") return undefined;
  if (host !== undefined && HOST.test(host)) return undefined;
  return refused("Send one valid Host field.");
}

/** Only WebSocket is tunnelled (RFC 6455 §4.1): h2c and others would carry requests that nobody here sees. */
function screenUpgrade(head: Head): Refused | undefined {
  if (head.method === "CONNECT") return refused("This is no forward proxy. Use another method.");
  const protocols = tokensOf(head.headers, "upgrade");
  if (protocols.length === 0) return undefined;
  if (protocols.length > 1 || protocols[0] !== "websocket" || head.method !== "GET") {
    return refused("Upgrade to nothing but websocket, with GET.");
  }
  const length = valuesOf(head.headers, "content-length")[0] ?? "0";
  if (length !== "0" || valuesOf(head.headers, "transfer-encoding").length > 0) {
    return refused("Send an upgrade without a body.");
  }
  return undefined;
}

/** All forms of target (RFC 9112 §3.2) become the one that is matched, fingerprinted and sent. */
function screenTarget(head: Head, rules: ScreenRules): Screened {
  let origin = head.rawTarget;
  if (origin === "*" && head.method !== "OPTIONS") {
    return refused("Send * with OPTIONS only.");
  }
  if (origin !== "*" && !origin.startsWith("/")) {
    // RFC 9112 §3.2.2 lets an absolute target win over Host; where they differ, somebody on the way was misled.
    const absolute = readAbsolute(origin);
    const [host] = valuesOf(head.headers, "host");
    const scheme = /^https:/i.test(origin) ? "https" : "http";
    if (absolute === undefined || host === undefined) {
      return refused("Send a target that starts with a slash.");
    }
    if (absolute.authority !== canonicalAuthority(host, scheme)) {
      return refused("Send the same authority in the target and in Host.");
    }
    origin = absolute.origin;
  }
  const target = canonicalTarget(origin);
  // Reads of odd paths pass as they are: no route is evaded by a request that no route could guard.
  if (target.kind === "refused") return refused(target.detail);
  const guarded = !isSafe(head.method) || rules.guardedReads.has(head.method);
  if (target.evasive !== undefined && guarded) return refused(target.evasive);
  return { kind: "ok", target: target.target };
}

function refused(detail: string, status = 400, code: Refused["code"] = "request-invalid"): Refused {
  return { kind: "refused", status, code, detail };
}
