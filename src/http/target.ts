/**
 * The request target in one canonical form, so that what a route matches, what is fingerprinted and what the upstream
 * gets are the same string. Pure. Knows nothing of routes: it says which targets could be read two ways (`evasive`),
 * and the listener decides whom it lets through with one.
 */

export type Target =
  | {
      readonly kind: "ok";
      /** Path and query, to be matched, fingerprinted and sent. */
      readonly target: string;
      readonly path: string;
      /** Without the question mark; `undefined` when there is none, empty when there is nothing after it. */
      readonly query: string | undefined;
      /**
       * Present when upstreams differ in what this path names, with what to do instead. `target` is then exactly as
       * received: right for a pass-through read, and never to be matched against a guarded route.
       */
      readonly evasive?: string;
    }
  | { readonly kind: "refused"; readonly detail: string };

const HEX_ESCAPE = /%[0-9A-Fa-f]{2}/g;
const BROKEN_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
/** RFC 3986 §2.3. */
const UNRESERVED = /^[A-Za-z0-9\-._~]$/;
const DOT_SEGMENT = /\/\.{1,2}(?:;|%3B|\/|$)/;
const VISIBLE_ASCII = /^[\x21-\x7e]+$/;

/**
 * Origin-form (`/path?query`), or `*`, to its canonical form: escapes in upper-case hex, escaped unreserved characters
 * decoded (RFC 3986 §6.2.2), nothing else changed. Dot segments and doubled slashes are not resolved, because the
 * upstream may not resolve them alike; they make a target evasive.
 */
export function canonicalTarget(rawTarget: string): Target {
  if (rawTarget === "*") return { kind: "ok", target: "*", path: "*", query: undefined };
  if (!rawTarget.startsWith("/")) {
    return refused("Send a target that starts with a slash.");
  }
  if (!VISIBLE_ASCII.test(rawTarget)) {
    return refused("Percent-encode spaces, control characters and everything beyond ASCII.");
  }
  // RFC 9112 §3.2: a fragment is no part of a request target.
  if (rawTarget.includes("#")) return refused("Leave the fragment (#) out of the target.");

  const [rawPath, rawQuery] = splitQuery(rawTarget);
  const path = normalise(rawPath);
  const evasive = BROKEN_ESCAPE.test(rawTarget)
    ? "Write a percent sign as %25."
    : evasivePath(path);
  if (evasive !== undefined) {
    return { kind: "ok", target: rawTarget, path: rawPath, query: rawQuery, evasive };
  }
  const query = rawQuery === undefined ? undefined : normalise(rawQuery);
  return { kind: "ok", target: query === undefined ? path : `${path}?${query}`, path, query };
}

/** Judged on the normalised path, so that `%2e%2E` is seen as `..`. */
function evasivePath(path: string): string | undefined {
  if (path.includes("\\") || path.includes("%5C")) return "Leave backslashes out of the path.";
  if (path.includes("%2F")) return "Leave encoded slashes (%2F) out of the path.";
  if (path.includes("%00")) return "Leave NUL (%00) out of the path.";
  // The last segment may be empty: `/v1/` is a path of its own.
  if (path.includes("//")) return "Leave empty segments (//) out of the path.";
  // `..;x` is a dot segment for upstreams that take path parameters off first. An escaped semicolon counts as one.
  if (DOT_SEGMENT.test(path)) return "Resolve the dot segments (. and ..) of the path.";
  return undefined;
}

/** One pass is enough: what is decoded is unreserved, so it never completes another escape. */
function normalise(text: string): string {
  if (!text.includes("%")) return text;
  return text.replace(HEX_ESCAPE, (escape) => {
    const char = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return UNRESERVED.test(char) ? char : escape.toUpperCase();
  });
}

function splitQuery(target: string): [path: string, query: string | undefined] {
  const at = target.indexOf("?");
  return at < 0 ? [target, undefined] : [target.slice(0, at), target.slice(at + 1)];
}

function refused(detail: string): Target {
  return { kind: "refused", detail };
}

/** `host[:port]` of an absolute-form target and the origin-form of the rest (RFC 9112 §3.2.2). */
export interface AbsoluteTarget {
  /** Lower-case, the scheme's default port left out. */
  readonly authority: string;
  readonly origin: string;
}

/** `undefined`: not an absolute http or https target, or one with user information, which is never accepted. */
export function readAbsolute(rawTarget: string): AbsoluteTarget | undefined {
  const parts = /^(https?):\/\/([^/?#@\\]+)((?:[/?].*)?)$/i.exec(rawTarget);
  if (parts === null) return undefined;
  const [, scheme = "", authority = "", rest = ""] = parts;
  return {
    authority: canonicalAuthority(authority, scheme.toLowerCase()),
    origin: rest.startsWith("/") ? rest : `/${rest}`,
  };
}

export function canonicalAuthority(authority: string, scheme = "http"): string {
  const defaultPort = scheme === "https" ? ":443" : ":80";
  const lower = authority.toLowerCase();
  return lower.endsWith(defaultPort) ? lower.slice(0, -defaultPort.length) : lower;
}
