/** Reads an issuer's key set, from a file or over HTTP. Bounded in size and in time; redirects are not followed. */
import { readFile } from "node:fs/promises";
import { KeysUnavailable, type LoadKeys } from "./key-set.ts";

/** One question of the gateway's own to a server that the configuration names. Never rejects. */
export type AskServer = (
  url: string,
  headers: readonly (readonly [string, string])[],
  limits: { readonly timeoutMs: number; readonly bytes: number },
) => Promise<
  /** `body` is undefined where there was more than was asked for. */
  | { readonly kind: "answered"; readonly status: number; readonly body: Uint8Array | undefined }
  | { readonly kind: "failed"; readonly cause: string }
>;

/** A caller waits for it, when the keys are needed for the first time. */
const TIMEOUT_MS = 3000;
const MOST_BYTES = 256 * 1024;

export function keyLoader(ask: AskServer): LoadKeys {
  return async (jwks) => parse(jwks.startsWith("file:") ? await read(jwks) : await fetched(jwks));

  async function fetched(url: string): Promise<Uint8Array> {
    const limits = { timeoutMs: TIMEOUT_MS, bytes: MOST_BYTES };
    const answer = await ask(url, [["Accept", "application/json"]], limits);
    if (answer.kind === "failed") throw new KeysUnavailable(answer.cause);
    if (answer.status !== 200) throw new KeysUnavailable(`status-${answer.status}`);
    if (answer.body === undefined) throw new KeysUnavailable("answer-too-large");
    return answer.body;
  }
}

async function read(jwks: string): Promise<Uint8Array> {
  try {
    return await readFile(jwks.slice("file:".length));
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
    throw new KeysUnavailable(code);
  }
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    // The parser's error quotes its input.
    throw new KeysUnavailable("not-json");
  }
}
