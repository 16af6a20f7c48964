/** Node's HTTP parser from outside: that it is strict, what its errors mean to a client, and lists of peers. Pure. */
import { BlockList, isIP, isIPv6, type Socket } from "node:net";
import type { Problem } from "../core/problem.ts";

const LENIENT = "--insecure-http-parser";

/**
 * Throws where the process runs with a lenient parser, which accepts what smuggles requests. `nodeOptions` is the
 * value of NODE_OPTIONS; flags of the command line are looked up here.
 */
export function assertStrictParser(nodeOptions: string): void {
  const flags = [...process.execArgv, ...nodeOptions.split(/\s+/)];
  if (!flags.some((flag) => flag.replaceAll("_", "-").replaceAll('"', "") === LENIENT)) return;
  throw new Error(
    `${LENIENT} is set for this process, and with it requests can be smuggled through. Remove it from NODE_OPTIONS and from the command line.`,
  );
}

/** `undefined`: the connection broke, and there is nobody to tell. */
export function parserProblem(code: string | undefined): Problem | undefined {
  switch (code) {
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return invalid(408, "Send the whole head of the request without delay.");
    case "HPE_HEADER_OVERFLOW":
      return invalid(431, "Send fewer or shorter header fields.");
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return invalid(413, "Send chunks without extensions.");
    default:
      // All of llhttp's; anything else comes from the socket.
      if (code?.startsWith("HPE_") !== true) return undefined;
      return invalid(400, "Send a well-formed HTTP/1.1 request.");
  }
}

/**
 * The method of a request that the parser gave up in its head. `undefined`: it cannot be known, because other bytes came
 * on the connection before those that `error` has.
 */
export function methodBehind(
  error: NodeJS.ErrnoException & { readonly rawPacket?: Buffer },
  { bytesRead }: Pick<Socket, "bytesRead">,
): string | undefined {
  const { rawPacket } = error;
  if (rawPacket === undefined || rawPacket.length !== bytesRead) return undefined;
  return /^[\r\n]*([^\s]+) /.exec(rawPacket.toString("latin1", 0, 64))?.[1];
}

function invalid(status: number, detail: string): Problem {
  return { code: "request-invalid", status, detail };
}

/** CIDR blocks, or single addresses. Throws on anything else. */
export function blocksOf(cidrs: readonly string[]): BlockList {
  const blocks = new BlockList();
  for (const cidr of cidrs) {
    const [address = "", prefix] = cidr.split("/");
    if (isIP(address) === 0) throw new Error(`trusted proxies: ${cidr} is no CIDR block`);
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    if (prefix === undefined) blocks.addAddress(address, family);
    else blocks.addSubnet(address, Number(prefix), family);
  }
  return blocks;
}
