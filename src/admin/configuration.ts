/**
 * The configuration over the admin port: which one is served by in which process, and the order to read it again. Shows
 * digests and names of settings, never a value; what a configuration is and who applies it is not known here.
 */
import type { IncomingMessage } from "node:http";
import { type AdminReply, json, methodNotAllowed, problem } from "./reply.ts";

/** What came of reading the configuration again. Lines of `problems` are those that a start would print. */
export type Reloaded =
  | {
      readonly result: "applied" | "unchanged";
      readonly digest: string;
      readonly version: number;
      /** Paths of what is different now. */
      readonly changed: readonly string[];
      /** Routes that were guarded until now and are no more. */
      readonly unguarded: readonly string[];
    }
  /** `restart`: it is valid, and needs another process than this one. */
  | {
      readonly result: "refused";
      readonly reason: "invalid" | "restart";
      readonly problems: readonly string[];
    }
  /** Not all processes could be had for it. */
  | { readonly result: "failed"; readonly problems: readonly string[] };

/** By which configuration one process serves. */
export interface ServingProcess {
  readonly pid: number;
  /** Where there are several. */
  readonly worker?: number;
  readonly version: number;
  readonly digest: string;
}

export interface ConfigurationStatus {
  readonly file: string;
  /** 1 is what was started with; it rises with each that is applied. */
  readonly version: number;
  readonly digest: string;
  readonly sinceMs: number;
  readonly processes: readonly ServingProcess[];
  readonly lastReload: { readonly atMs: number; readonly reloaded: Reloaded } | undefined;
}

/** Who wants it read again, for the log. */
export type Asked =
  | { readonly cause: "SIGHUP" }
  | { readonly cause: "api"; readonly remote: string };

export interface Configuring {
  /** Never rejects. Those that come while one waits for its turn share that one. */
  reload(asked: Asked): Promise<Reloaded>;
  status(): ConfigurationStatus;
}

/** `GET /v1/config` and `POST /v1/reload`; `undefined` for any other path. */
export function configurationResource(
  request: IncomingMessage,
  path: string,
  configuring: Configuring | undefined,
): Promise<AdminReply> | undefined {
  if (configuring === undefined) return undefined;
  switch (path) {
    case "/v1/config":
      return showConfiguration(request, configuring);
    case "/v1/reload":
      return reload(request, configuring);
    default:
      return undefined;
  }
}

async function showConfiguration(
  { method }: IncomingMessage,
  configuring: Configuring,
): Promise<AdminReply> {
  if (method !== "GET" && method !== "HEAD") return methodNotAllowed("GET, HEAD");
  const { sinceMs, lastReload, ...status } = configuring.status();
  return json(200, {
    ...status,
    since: new Date(sinceMs).toISOString(),
    lastReload:
      lastReload === undefined
        ? null
        : { at: new Date(lastReload.atMs).toISOString(), ...lastReload.reloaded },
  });
}

async function reload(
  { method, socket }: IncomingMessage,
  configuring: Configuring,
): Promise<AdminReply> {
  if (method !== "POST") return methodNotAllowed("POST");
  const remote = socket.remoteAddress ?? "unknown";
  const reloaded = await configuring.reload({ cause: "api", remote });
  switch (reloaded.result) {
    case "applied":
    case "unchanged":
      return json(200, reloaded);
    case "refused": {
      const { reason, problems } = reloaded;
      return reason === "invalid"
        ? problem("configuration-invalid", "Correct what `problems` names.", {}, { problems })
        : problem("configuration-fixed", "See `problems`.", {}, { problems });
    }
    case "failed": {
      const { problems } = reloaded;
      return problem("configuration-not-taken", "See `problems`, and ask again.", {}, { problems });
    }
  }
}
