/**
 * Who may use the records API. With a token: whoever presents it. Without one: programs on this host, and only while
 * the listener is on loopback; of the pages that a browser on this host shows only this port's own console.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";
import { type AdminReply, problem } from "./reply.ts";

/** Answers `undefined` where the request may go on. */
export type Gate = (request: IncomingMessage) => AdminReply | undefined;

/** `token` empty: none is configured. `address`: what the listener is really bound to. */
export function createGate(token: string, address: string): Gate {
  if (token !== "") return bearerGate(token);
  return isLoopbackAddress(address) ? loopbackGate : closedGate;
}

function bearerGate(token: string): Gate {
  const expected = digest(token);
  return (request) => {
    const fields = request.headersDistinct.authorization ?? [];
    if (fields.length === 0) {
      return challenge("token-missing", "Send `Authorization: Bearer <admin.token>`.");
    }
    const presented = /^bearer +([^ ]+)$/i.exec(fields[0] ?? "")?.[1];
    // Digests have one length, so that the comparison tells neither the token's length nor where it differs.
    const right = presented !== undefined && timingSafeEqual(digest(presented), expected);
    if (right && fields.length === 1) return undefined;
    return challenge("token-invalid", "`Authorization` must be one `Bearer` with the admin.token.");
  };
}

/** RFC 9110 §11.6.1 and RFC 6750 §3. */
function challenge(code: "token-missing" | "token-invalid", detail: string): AdminReply {
  const error = code === "token-invalid" ? ', error="invalid_token"' : "";
  return problem(code, detail, {
    "WWW-Authenticate": `Bearer realm="idempotency-gateway"${error}`,
  });
}

const closedGate: Gate = () =>
  problem(
    "not-allowed",
    "This port can be reached from other hosts and no token is configured. Set `admin.token` (or the environment variable IDEMPOTENCY_GATEWAY_ADMIN_TOKEN) to open the records API, or bind `admin.host` to 127.0.0.1.",
  );

/**
 * DANGER: without a token everything hangs on the request coming from this host's own programs. A web page can make
 * the user's browser send requests here: under a name of its own that it points to 127.0.0.1 (DNS rebinding: then Host
 * is that name), or across origins (then there is an Origin).
 */
const loopbackGate: Gate = (request) => {
  const hosts = request.headersDistinct.host ?? [];
  if (hosts.length !== 1 || !isLoopbackHost(hosts[0] ?? "")) {
    return problem(
      "not-allowed",
      "Without an admin.token this port answers only to localhost, 127.0.0.1 or [::1] as Host.",
    );
  }
  if (!isOwnPage(request, hosts[0] ?? "")) {
    const detail = "Without an admin.token this port answers no web page but its own console.";
    return problem("not-allowed", detail);
  }
  return undefined;
};

/**
 * No page at all, or the console that this port serves: its origin is the name that the request was sent to, which has
 * just been seen to be this host's, port included. Browsers say `Sec-Fetch-Site` also where they send no Origin.
 */
function isOwnPage({ headers }: IncomingMessage, host: string): boolean {
  const site = headers["sec-fetch-site"];
  const foreign = site !== undefined && site !== "same-origin" && site !== "none";
  return !foreign && (headers.origin === undefined || headers.origin === `http://${host}`);
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

function isLoopbackAddress(address: string): boolean {
  const version = isIP(address);
  // An IPv4 address mapped into IPv6 is checked against the IPv4 list.
  return version !== 0 && LOOPBACK.check(address, version === 6 ? "ipv6" : "ipv4");
}

function isLoopbackHost(host: string): boolean {
  const name = /^(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::\d{1,5})?$/i.exec(host)?.[1];
  if (name === undefined) return false;
  return name.toLowerCase() === "localhost" || isLoopbackAddress(name.replace(/^\[|\]$/g, ""));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
