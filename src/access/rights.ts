/**
 * Asks the authorizer of a route whether a caller may be told what was recorded: a GET with the caller's credentials, whose
 * status is the answer. Remembers no answer, so that a right that was taken away is gone with the next request.
 */
import type { Rights } from "../core/access-ports.ts";
import type { HeaderPair } from "../core/record.ts";
import type { AskServer } from "./load-keys.ts";

/** The answer's body says nothing that is looked at. */
const MOST_BYTES = 64 * 1024;

/** Of every request, besides what names its caller. */
const CREDENTIALS: readonly string[] = ["authorization", "cookie"];

export function createRights(ask: AskServer): Rights {
  return {
    async mayBeTold({ url, timeoutMs }, { method, target, headers, credentials }) {
      const sent: HeaderPair[] = headers.filter(([name]) => {
        const field = name.toLowerCase();
        return CREDENTIALS.includes(field) || credentials.includes(field);
      });
      const about: HeaderPair[] = [
        ["X-Forwarded-Method", method],
        ["X-Forwarded-Uri", target],
      ];
      const answer = await ask(url, [...sent, ...about], { timeoutMs, bytes: MOST_BYTES });
      if (answer.kind === "failed") return { kind: "unchecked", cause: answer.cause };
      return { kind: answer.status >= 200 && answer.status < 300 ? "yes" : "no" };
    },
  };
}
