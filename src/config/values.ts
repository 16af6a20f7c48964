/**
 * The single values that need more than a type: hosts, address blocks, header names, JSON Pointers, documentation
 * links. Each `…Fault` says what would be right, or `undefined` when the value is. None quotes the value: it may be a
 * secret in the wrong place.
 */
import { isIP } from "node:net";

/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/u;
const HOST_LABELS =
  /^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$/u;

/**
 * Fields that frame the message or belong to one connection (RFC 9110 §7.6.1, RFC 9112 §6): they differ between a
 * request and its retry, or do not reach the upstream at all, so none can be a key, a scope or part of a fingerprint.
 */
const FRAMING_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

function isToken(name: string): boolean {
  return TOKEN.test(name);
}

/** For headers that name the caller or the operation: such a field must reach the upstream as it came. */
export function requestHeaderFault(name: string): string | undefined {
  if (!isToken(name))
    return "must be a header name (RFC 9110 §5.6.2: letters, digits and -_.~!#$%&'*+^`|)";
  if (FRAMING_FIELDS.has(name.toLowerCase())) {
    return "belongs to the connection, not to the request; name an end-to-end header";
  }
  return undefined;
}

/** For headers that are left out of a record: any name will do. */
export function responseHeaderFault(name: string): string | undefined {
  return isToken(name)
    ? undefined
    : "must be a header name (RFC 9110 §5.6.2: letters, digits and -_.~!#$%&'*+^`|)";
}

/** For `listen.host` and `admin.host`: an IPv6 address stands without brackets there. */
export function hostFault(host: string): string | undefined {
  if (isIP(host) !== 0) return undefined;
  if (host.length <= 253 && HOST_LABELS.test(host) && !/^[\d.]+$/u.test(host)) return undefined;
  return "must be a host name or an IP address, without brackets and without a port";
}

/** A CIDR block in its plain form, a bare address as the block of that address alone; `undefined` if it is neither. */
export function readCidr(text: string): string | undefined {
  const match = /^([0-9A-Fa-f:.]+)(?:\/(\d{1,3}))?$/u.exec(text);
  const address = match?.[1] ?? "";
  const family = isIP(address);
  if (family === 0) return undefined;
  const widest = family === 4 ? 32 : 128;
  const prefix = match?.[2] === undefined ? widest : Number(match[2]);
  return prefix <= widest ? `${address.toLowerCase()}/${prefix}` : undefined;
}

/** For `listen.trustedProxies`. */
export function cidrFault(text: string): string | undefined {
  return readCidr(text) === undefined
    ? "must be an address block such as 10.0.0.0/8 or fd00::/8, or a single IP address"
    : undefined;
}

/** RFC 6901, without the empty pointer: the whole document as a key, or left out of a comparison, is a mistake. */
export function pointerFault(pointer: string): string | undefined {
  return /^(\/([^~/]|~[01])*)+$/u.test(pointer)
    ? undefined
    : 'must be a JSON Pointer (RFC 6901) such as /date or /items/0/id; "~" is written ~0 and "/" in a name ~1';
}

/** Of a header, a query parameter or a path parameter; which of them is judged where `from` is known. */
export function keyNameFault(name: string): string | undefined {
  return /^[!-~]{1,64}$/u.test(name)
    ? undefined
    : "must be 1 to 64 visible ASCII characters, without spaces";
}

/** Goes into a `Link` field between angle brackets, hence the narrow alphabet. Empty: no link. */
export function docsUrlFault(url: string): string | undefined {
  if (url === "") return undefined;
  const plain = /^https?:\/\/[!-~]+$/u.test(url) && !/[<>"\\@]/u.test(url);
  if (plain && URL.canParse(url)) return undefined;
  return "must be an http:// or https:// URL without @, or empty for none";
}

/** Redis keys are `<prefix>{…}`: braces in the prefix would move the hash tag. */
export function keyPrefixFault(prefix: string): string | undefined {
  return /^[!-~]{1,64}$/u.test(prefix) && !/[{}*?[\]\\]/u.test(prefix)
    ? undefined
    : "must be 1 to 64 visible ASCII characters, without spaces and without { } * ? [ ] \\";
}

/** Empty: nobody is asked. */
export function authorizeFault(url: string): string | undefined {
  const fault = url === "" ? undefined : askedUrlFault(url);
  return fault && `${fault}, or empty for nobody`;
}

/** A server that the gateway asks itself: no user, and nothing that would not be sent. */
function askedUrlFault(url: string): string | undefined {
  const plain = /^https?:\/\/[!-~]+$/u.test(url) && !/[<>"\\@#]/u.test(url);
  return plain && URL.canParse(url)
    ? undefined
    : "must be an http:// or https:// URL without @ and #";
}

export function jwksFault(url: string): string | undefined {
  if (/^file:[^\0]+$/u.test(url)) return undefined;
  return askedUrlFault(url) === undefined
    ? undefined
    : "must be an http:// or https:// URL without @ and #, or file: and a path";
}

/** Put into the request line as it stands, so only what may stand there. */
export function probePathFault(path: string): string | undefined {
  const segments = (path.split("?", 1)[0] ?? "").split("/");
  const plain = /^\/(?!\/)(?:[A-Za-z0-9._~!$&'()*+,;=:@%/?-]|\{key\})*$/u.test(path);
  const climbs = segments.some((segment) => segment === "." || segment === "..");
  return plain && !climbs && path.includes("{key}")
    ? undefined
    : 'must be a path at the upstream with {key} in it, such as /payments/by-key/{key}: it begins with "/" and has no host, no dot segments and no #';
}

/** The gateway's own fields would make the upstream take the question for the operation. */
export function probeHeaderFault(name: string): string | undefined {
  if (/^idempotency-/iu.test(name)) return "must not be one of the gateway's own fields";
  // Left out, it is the upstream's own; one that tells its sites apart may need another.
  if (name.toLowerCase() === "host") return undefined;
  return requestHeaderFault(name);
}

/** RFC 9110 §5.5, without what is obsolete there. */
export function fieldValueFault(value: string): string | undefined {
  return /^[!-~](?:[ -~]{0,4094}[!-~])?$/u.test(value)
    ? undefined
    : "must be 1 to 4096 visible ASCII characters, with spaces in between only";
}

/** Of an issuer, an audience or the name of a claim. */
export function claimValueFault(value: string): string | undefined {
  return /^[!-~]{1,256}$/u.test(value)
    ? undefined
    : "must be 1 to 256 visible ASCII characters, without spaces";
}

/** What `--print-config` shows in place of a secret. */
export const HIDDEN = "********";

/** RFC 6750 §2.1 carries it in one header field. Empty: none is set. */
export function adminTokenFault(token: string): string | undefined {
  // DANGER: a printed configuration that is saved and used must not make its own placeholder the credential.
  if (token === HIDDEN) {
    return "is the placeholder that --print-config shows; put the token itself, best in IDEMPOTENCY_GATEWAY_ADMIN_TOKEN";
  }
  return /^[!-~]{0,512}$/u.test(token)
    ? undefined
    : "must be at most 512 visible ASCII characters, without spaces";
}

/** Stands in the records, in the clear. */
export function encryptionKeyIdFault(id: string): string | undefined {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/u.test(id)
    ? undefined
    : "must be 1 to 32 letters, digits, ., - or _, and begin with a letter or digit";
}

export function secretFileFault(path: string): string | undefined {
  return path === "" || path.includes("\0") ? "must be the path of a file" : undefined;
}

/** The gateway's own variables are settings, and a name of that kind that is none is refused as a slip. */
export function variableNameFault(name: string): string | undefined {
  if (name.startsWith("IDEMPOTENCY_GATEWAY_")) {
    return "must not begin with IDEMPOTENCY_GATEWAY_, which is for the gateway's settings";
  }
  return /^[A-Za-z_][A-Za-z0-9_]{0,127}$/u.test(name)
    ? undefined
    : "must be the name of an environment variable: letters, digits and _";
}

/** A metric label and part of a record's identity. */
export function routeNameFault(name: string): string | undefined {
  if (name === "default" || name === "none") {
    return `"${name}" is taken: it names the requests that no route matches; choose another name`;
  }
  return /^[a-z0-9][a-z0-9_-]{0,63}$/u.test(name)
    ? undefined
    : "must be 1 to 64 lower-case letters, digits, - or _, and begin with a letter or digit";
}

/** What is wrong with the name that traces give the gateway, or `undefined`. */
export function serviceNameFault(name: string): string | undefined {
  return /^[\x21-\x7e][\x20-\x7e]{0,127}$/u.test(name)
    ? undefined
    : "must be 1 to 128 ASCII characters that can be seen";
}
