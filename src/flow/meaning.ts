/** The body as JSON, where its route needs the meaning of it. Reads nothing from the client and compares nothing itself. */
import { fieldOf } from "../core/fields.ts";
import { fingerprintOf, isJson, mediaType } from "../core/fingerprint.ts";
import type { Policy } from "../core/policy.ts";
import type { InboundRequest } from "../core/ports.ts";
import { JsonRefused, type JsonValue, type ReadJson } from "../core/json-ports.ts";

/** Parses where the route needs the meaning and the request says that it is JSON; anything else is compared as bytes. */
export function parse(
  request: InboundRequest,
  body: Uint8Array,
  policy: Policy,
  readJson: ReadJson,
): JsonValue | undefined {
  const wanted =
    policy.fingerprint.body === "json" ||
    policy.key.source.from === "body" ||
    (policy.resource !== undefined && policy.resource.id.from !== "path");
  // Coded bytes (gzip) are not decoded here: what inflates to a gigabyte must not do so before the claim.
  const coded = fieldOf(request.headers, "content-encoding") !== undefined;
  const isText = body.byteLength > 0 && !coded && isJson(mediaType(request.headers));
  if (!wanted || !isText) return undefined;
  return readJson(body);
}

/** What a request without a key is recognised by, within its route. Like the key's own, its body is compared as the route says. */
export function keylessFingerprint(
  request: InboundRequest,
  policy: Policy,
  body: Uint8Array,
  readJson: ReadJson,
): string {
  const { method, target, headers } = request;
  const json =
    policy.fingerprint.body === "json" ? parseLoosely(request, body, policy, readJson) : undefined;
  return fingerprintOf({ method, target, headers, body, json }, policy.fingerprint);
}

/** Nothing is refused here: what is no JSON is compared as bytes. */
function parseLoosely(...parts: Parameters<typeof parse>): JsonValue | undefined {
  try {
    return parse(...parts);
  } catch (error) {
    if (error instanceof JsonRefused) return undefined;
    throw error;
  }
}
