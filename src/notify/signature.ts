/**
 * How a call is signed, as Standard Webhooks says: the receiver computes the HMAC-SHA256 of `id.timestamp.body` with the
 * secret that both know, and drops what is old. Sends nothing.
 */
import { createHmac } from "node:crypto";
import type { HeaderPair } from "../core/record.ts";

/** `secrets` in base64; each signs, so that one can replace another while receivers still know the old one alone. */
export function signedHeaders(
  message: { readonly id: string; readonly body: string },
  secrets: readonly string[],
  atMs: number,
): readonly HeaderPair[] {
  const timestamp = String(Math.floor(atMs / 1000));
  const signatures = secrets.map((secret) => {
    const signed = `${message.id}.${timestamp}.${message.body}`;
    const hmac = createHmac("sha256", Buffer.from(secret, "base64")).update(signed);
    return `v1,${hmac.digest("base64")}`;
  });
  return [
    ["Content-Type", "application/json"],
    ["webhook-id", message.id],
    ["webhook-timestamp", timestamp],
    ["webhook-signature", signatures.join(" ")],
  ];
}
