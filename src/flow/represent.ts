/**
 * What the upstream holds right now, for conditions to be judged against. Asked with the caller's own credentials, so
 * that nobody learns by a condition what a read would not show; bounded in time and size. Changes nothing.
 */
import { computeEtag, etagOf, type Representation } from "../core/conditional.ts";
import { isJson, mediaType } from "../core/fingerprint.ts";
import { writeCanonical } from "../core/json.ts";
import type { Policy } from "../core/policy.ts";
import type { ForwardOutcome, Reply } from "../core/ports.ts";
import { JsonRefused, type ReadJson } from "../core/json-ports.ts";
import type { HeaderPair } from "../core/record.ts";
import type { Admitted } from "./admit.ts";
import type { FlowDeps } from "./deps.ts";

export type Represented =
  | { readonly kind: "representation"; readonly representation: Representation }
  /** The upstream does not show it to this caller, and has said so. */
  | { readonly kind: "denied"; readonly answer: Reply }
  | { readonly kind: "unreadable"; readonly status: 502 | 504; readonly detail: string };

type Present = Extract<Representation, { kind: "present" }>;

const CHANGED_NOTHING = "Nothing was sent that changes anything. Send the request again.";

export async function represent(
  path: string,
  headers: readonly HeaderPair[],
  policy: Policy,
  { upstream, limits }: Pick<FlowDeps, "upstream" | "limits">,
): Promise<Represented> {
  const read = await upstream.send(
    { method: "GET", target: path, headers: readHeaders(headers), body: new Uint8Array() },
    { deadlineMs: limits.deadlineMs, responseBytes: policy.limits.responseBytes },
  );
  return judgeRead(read);
}

function judgeRead(read: ForwardOutcome): Represented {
  switch (read.kind) {
    case "not-sent":
      return unreadable(read.status, "The upstream could not be reached to read the resource");
    case "unknown":
      return unreadable(
        read.reason === "timeout" ? 504 : 502,
        "The upstream did not let the resource be read",
      );
    case "answered": {
      const { status, headers, body } = read.answer;
      if (status === 404 || status === 410) return found({ kind: "absent" });
      // Its own words, with their challenge (RFC 9110 §15.5.2): "log in" must not read like an outage.
      if (status === 401 || status === 403) return { kind: "denied", answer: read.answer };
      if (status !== 200)
        return unreadable(502, `The upstream answered a read of the resource with ${status}`);
      const own = etagOf(headers);
      const etag = own ?? computeEtag(headers, body);
      return found({ kind: "present", etag, computed: own === undefined, status, headers, body });
    }
    case "streaming": {
      read.stream.cancel();
      return unreadable(
        502,
        "The resource cannot be compared: it is over limits.responseBytes, or only the connection's end says where it ends",
      );
    }
  }
}

function found(representation: Representation): Represented {
  return { kind: "representation", representation };
}

function unreadable(status: 502 | 504, what: string): Represented {
  return {
    kind: "unreadable",
    status,
    detail: `${what}, so its state is not known. ${CHANGED_NOTHING}`,
  };
}

/** The write's own fields without what describes its body, its conditions and its key; not compressed, to compare. */
export function readHeaders(headers: readonly HeaderPair[]): readonly HeaderPair[] {
  const kept = headers.filter(
    ([name]) =>
      !/^(content-|if-|idempotency-|accept-encoding$|range$|transfer-encoding$|x-(http-)?method)/i.test(
        name,
      ),
  );
  return [...kept, ["Accept-Encoding", "identity"]];
}

/** Whether a create-only PUT brings what is there already: JSON by meaning, anything else byte by byte. */
export function sameContent(
  current: Present,
  request: Pick<Admitted, "headers" | "body">,
  readJson: ReadJson,
): boolean {
  if (isJson(mediaType(request.headers)) && isJson(mediaType(current.headers))) {
    const there = canonical(current.body, readJson);
    return there !== undefined && there === canonical(request.body, readJson);
  }
  return Buffer.compare(current.body, request.body) === 0;
}

function canonical(body: Uint8Array, readJson: ReadJson): string | undefined {
  try {
    return writeCanonical(readJson(body));
  } catch (error) {
    if (error instanceof JsonRefused) return undefined;
    throw error;
  }
}
