/**
 * Header fields as raw pairs: which ones end at this hop, which ones tell the upstream where a request came from, and
 * how a head looks on the wire. Pure; values stay latin1 strings, one char per byte, in their order with repeats kept.
 */
import type { BlockList, Socket } from "node:net";
import { STATUS_CODES } from "node:http";
import { isIP, isIPv6 } from "node:net";
import { fieldOf, HOP_BY_HOP, isNamed } from "../core/fields.ts";
import type { HeaderPair } from "../core/record.ts";

/** Fields that say who asked and how; believed only from trusted peers. All of `x-forwarded-*` is treated alike. */
const FORWARDING_PREFIX = "x-forwarded-";
/** A fence is said by a gateway: one behind another passes it on, a client's own is dropped. */
const FORWARDING: ReadonlySet<string> = new Set(["forwarded", "x-real-ip", "idempotency-fence"]);

export function isForwardingField(lowerCaseName: string): boolean {
  return lowerCaseName.startsWith(FORWARDING_PREFIX) || FORWARDING.has(lowerCaseName);
}

/** Node's flat `rawHeaders` as pairs. */
export function pairsOf(rawHeaders: readonly string[]): HeaderPair[] {
  const pairs: HeaderPair[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    pairs.push([rawHeaders[at] ?? "", rawHeaders[at + 1] ?? ""]);
  }
  return pairs;
}

/** Every value of a field; `lowerCaseName` must be lower-case. */
export function valuesOf(headers: readonly HeaderPair[], lowerCaseName: string): string[] {
  const values: string[] = [];
  for (const [name, value] of headers) if (isNamed(name, lowerCaseName)) values.push(value);
  return values;
}

/** The members of a comma-separated field over all its lines, lower-case, empty ones left out (RFC 9110 §5.6.1). */
export function tokensOf(headers: readonly HeaderPair[], lowerCaseName: string): string[] {
  const values = valuesOf(headers, lowerCaseName);
  if (values.length === 0) return values;
  return values
    .flatMap((value) => value.split(","))
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== "");
}

/** The fields that go on to the next hop: not the hop-by-hop ones, and none that `Connection` names (RFC 9110 §7.6.1). */
export function endToEnd(headers: readonly HeaderPair[]): HeaderPair[] {
  const goesOn = onward(headers);
  return headers.filter(([name]) => goesOn(name.toLowerCase()));
}

/** Of the names of these fields, lower-case: whether the field goes on. */
export function onward(headers: readonly HeaderPair[]): (lowerCaseName: string) => boolean {
  const named = tokensOf(headers, "connection");
  return (name) => !HOP_BY_HOP.has(name) && !named.includes(name);
}

/** Without the fields of these lower-case names. */
export function without(headers: readonly HeaderPair[], ...names: readonly string[]): HeaderPair[] {
  return headers.filter(([name]) => !names.includes(name.toLowerCase()));
}

/** Who is at the other end of the client's socket, and whether it is believed about who is behind it. */
export interface Peer {
  /** An IP address without zone; empty when the socket is already gone. */
  readonly address: string;
  readonly trusted: boolean;
}

/** Looks once at each connection: it takes 3 us, and every request would. */
export function peerFinder(trusted: BlockList): (socket: Socket) => Peer {
  const known = new WeakMap<Socket, Peer>();
  return (socket) => {
    const peer = known.get(socket) ?? newPeer(socket.remoteAddress, trusted);
    known.set(socket, peer);
    return peer;
  };
}

/** An IPv4 address that came over an IPv6 socket is the IPv4 address. */
function newPeer(remoteAddress: string | undefined, trusted: BlockList): Peer {
  const address = (remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
  if (isIP(address) === 0) return { address: "", trusted: false };
  return { address, trusted: trusted.check(address, isIPv6(address) ? "ipv6" : "ipv4") };
}

/**
 * The fields for the upstream: end-to-end, without those that the forwarder writes itself (`Content-Length`,
 * `Expect`), with `X-Forwarded-For`, `-Proto` and `-Host` set. What an untrusted peer says in `X-Forwarded-*`,
 * `Forwarded` or `X-Real-IP` is dropped; a trusted one's is kept, and its address appended to `X-Forwarded-For`.
 */
export function forwardFields(headers: readonly HeaderPair[], peer: Peer): HeaderPair[] {
  const goesOn = onward(headers);
  const fields: HeaderPair[] = [];
  const chain: string[] = [];
  const said = { host: false, proto: false };
  for (const field of headers) {
    const name = field[0].toLowerCase();
    if (!goesOn(name) || name === "content-length" || name === "expect") continue;
    if (isForwardingField(name)) {
      if (!peer.trusted) continue;
      if (name === "x-forwarded-proto") said.proto = true;
      if (name === "x-forwarded-host") said.host = true;
      if (name === "x-forwarded-for") {
        if (field[1] !== "") chain.push(field[1]);
        continue;
      }
    }
    fields.push(field);
  }
  if (peer.address !== "") chain.push(peer.address);
  if (chain.length > 0) fields.push(["X-Forwarded-For", chain.join(", ")]);
  // The listener itself speaks plain HTTP; only a trusted peer can know that TLS ended before it.
  if (!said.proto) fields.push(["X-Forwarded-Proto", "http"]);
  const host = fieldOf(headers, "host");
  if (host !== undefined && !said.host) fields.push(["X-Forwarded-Host", host]);
  return fields;
}

/** Node's flat form: with it `writeHead` and `http.request` keep case, order and repeats as they are. */
export function flat(headers: readonly HeaderPair[]): string[] {
  return headers.flatMap(([name, value]) => [name, value]);
}

/** Status line and fields for a socket that no ServerResponse looks after, latin1. */
export function renderHead(status: number, headers: readonly HeaderPair[]): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const reason = STATUS_CODES[status] ?? "";
  return Buffer.from(`HTTP/1.1 ${status} ${reason}\r\n${lines}\r\n`, "latin1");
}
