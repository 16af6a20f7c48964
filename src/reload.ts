/**
 * Reading the configuration again, on SIGHUP or when an operator asks: whole or not at all, one at a time, and told in
 * log and metrics. What may change is `config/live.ts`; who serves by the new one is the caller's `apply`.
 */
import { isDeepStrictEqual } from "node:util";
import type {
  Asked,
  Configuring,
  ConfigurationStatus,
  Reloaded,
  ServingProcess,
} from "./admin/configuration.ts";
import { changeOf } from "./config/live.ts";
import { digestOf } from "./config/print.ts";
import type { GatewayConfig } from "./config/schema.ts";
import type { Log } from "./observe/log.ts";
import type { ReloadMetrics } from "./observe/reloads.ts";

/** A configuration that is or was served by. */
export interface Edition {
  readonly config: GatewayConfig;
  readonly digest: string;
  /** 1 is what was started with; rises with each that is tried. */
  readonly version: number;
}

export type Read =
  | { readonly kind: "read"; readonly config: GatewayConfig; readonly file: string }
  | { readonly kind: "invalid"; readonly problems: readonly string[] };

export interface ReloaderOptions {
  readonly config: GatewayConfig;
  readonly file: string;
  /** The same flags and environment as at the start, the file as it is now. */
  readonly read: () => Read;
  /** Resolves with why not all processes could be had, in which case none has it; empty when all have it. */
  readonly apply: (edition: Edition) => Promise<readonly string[]>;
  readonly processes: () => readonly ServingProcess[];
  readonly metrics: ReloadMetrics;
  readonly log: Log;
}

export class Reloader implements Configuring {
  readonly #options: ReloaderOptions;
  #edition: Edition;
  #lastVersion = 1;
  #sinceMs = Date.now();
  #lastReload: ConfigurationStatus["lastReload"];
  /** Nothing is read before the gateway has started, and nothing once it stops. */
  #turn: Promise<unknown>;
  #start: () => void = () => undefined;
  #stopping = false;
  #waiting: Promise<Reloaded> | undefined;

  /** Hears SIGHUP from here on: one that comes early waits, and does not end the process as it would by itself. */
  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.#edition = firstEdition(options.config);
    this.#turn = new Promise<void>((resolve) => {
      this.#start = resolve;
    });
    process.on("SIGHUP", () => void this.reload({ cause: "SIGHUP" }));
  }

  get edition(): Edition {
    return this.#edition;
  }

  started(): void {
    this.#start();
  }

  stop(): void {
    this.#stopping = true;
  }

  status(): ConfigurationStatus {
    const { file, processes } = this.#options;
    const { digest, version } = this.#edition;
    const lastReload = this.#lastReload;
    return { file, version, digest, sinceMs: this.#sinceMs, processes: processes(), lastReload };
  }

  reload(asked: Asked): Promise<Reloaded> {
    // One that waits for its turn reads the file later than now, and so does it for all who ask meanwhile.
    this.#waiting ??= this.#turn.then(() => {
      this.#waiting = undefined;
      return this.#finish(asked);
    });
    this.#turn = this.#waiting;
    return this.#waiting;
  }

  /** Never rejects, or nobody's turn would come any more. */
  async #finish(asked: Asked): Promise<Reloaded> {
    const { log, metrics } = this.#options;
    let reloaded: Reloaded;
    try {
      reloaded = await this.#reload();
    } catch (error) {
      log.failure("the configuration could not be read again", error);
      reloaded = { result: "failed", problems: ["the gateway failed; the log says where"] };
    }
    metrics.finished(reloaded.result);
    this.#lastReload = { atMs: Date.now(), reloaded };
    tell(reloaded, { ...asked, config: this.#options.file, ...this.#running() }, log);
    return reloaded;
  }

  #running(): Pick<Edition, "digest" | "version"> {
    const { digest, version } = this.#edition;
    return { digest, version };
  }

  async #reload(): Promise<Reloaded> {
    if (this.#stopping) return { result: "failed", problems: ["the gateway is stopping"] };
    const read = this.#options.read();
    if (read.kind === "invalid") {
      return { result: "refused", reason: "invalid", problems: read.problems };
    }
    const { config, file } = read;
    if (isDeepStrictEqual(config, this.#edition.config)) {
      return { result: "unchanged", ...this.#running(), changed: [], unguarded: [] };
    }
    const { refused, changed, unguarded } = changeOf(this.#edition.config, config);
    if (refused.length > 0) {
      const problems = refused.map((line) => `${file}: ${line}`);
      return { result: "refused", reason: "restart", problems };
    }
    // Never used again, so that a worker's late answer to one is not taken for its answer to the next.
    this.#lastVersion += 1;
    const next = { config, digest: digestOf(config), version: this.#lastVersion };
    const problems = await this.#options.apply(next);
    if (problems.length > 0) return { result: "failed", problems };
    this.#edition = next;
    this.#sinceMs = Date.now();
    return { result: "applied", ...this.#running(), changed, unguarded };
  }
}

export function firstEdition(config: GatewayConfig): Edition {
  return { config, digest: digestOf(config), version: 1 };
}

function tell(
  reloaded: Reloaded,
  fields: Readonly<Record<string, string | number>>,
  log: Log,
): void {
  switch (reloaded.result) {
    case "applied": {
      const { changed, unguarded } = reloaded;
      log.event("info", "configuration reloaded", { ...fields, changed });
      if (unguarded.length > 0) {
        log.event("warn", "the configuration guards less than before", { routes: unguarded });
      }
      return;
    }
    case "unchanged":
      return log.event("info", "configuration unchanged", fields);
    case "refused":
    case "failed": {
      const { problems } = reloaded;
      log.event("error", `configuration ${reloaded.result}; the old one stays`, {
        ...fields,
        problems,
      });
    }
  }
}
