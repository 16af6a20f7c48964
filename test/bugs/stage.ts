/**
 * What the wire hunt plays on: real gateways on one real store, and an upstream over real sockets that does to each
 * execution what its situation says. Writes a history for each situation; judges nothing.
 */
import { createHash, randomBytes } from "node:crypto";
import type http from "node:http";
import { scopeOf, recordId } from "../../src/core/key.ts";
import type { Store } from "../../src/core/ports.ts";
import type { History, HistoryEvent } from "../checker/history.ts";
import { call, type Answer } from "../support/client.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import type { Teardown } from "../support/teardown.ts";
import { startUpstream, writeAnswer, type Call } from "../support/upstream.ts";
import { told, type Pair } from "../support/wire.ts";

/** An answer of the upstream; its fields flat, name and value in turn. */
export interface Given {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
}

/** In place of an answer: the request has come, and nothing was done for it. */
export const DROPPED = "dropped";

type Ended = Given | typeof DROPPED | undefined;

/** What the upstream does with one execution, `n` of all; resolves with the answer that it gave whole. */
export type Behaviour = (res: http.ServerResponse, n: number) => Ended | Promise<Ended>;

export interface Ask {
  readonly key: string;
  readonly method?: "POST" | "PUT";
  readonly body?: string;
  /** `a=1` */
  readonly query?: string;
  /** Which of the gateways; default the first. */
  readonly by?: number;
}

/** One situation: a target of its own, so that what the upstream sees of it can be told apart. */
export interface Plot {
  readonly target: string;
  readonly log: HistoryEvent[];
  /** What the executions meet, in turn; the last is for all that follow. */
  readonly behaviours: readonly Behaviour[];
  readonly arrivals: (() => void)[];
  executions: number;
}

/** A claim that the store sees end at once, as if its gateway had been stopped with the outcome in its hand. */
export interface Outlived {
  resume(): void;
}

export interface Stage {
  readonly histories: readonly History[];
  plot(name: string, faultFree: boolean, ...behaviours: readonly Behaviour[]): Plot;
  /** `undefined` where no answer came. */
  ask(plot: Plot, ask: Ask): Promise<Answer | undefined>;
  /** Resolves when the n-th execution (from 1) is there. */
  arrived(plot: Plot, n: number): Promise<void>;
  /** The next claim of the key outlives its lease. */
  outlive(key: string): Outlived;
  /** The n-th (from 1) who asks what became of the key is told this status. */
  tells(key: string, status: (n: number) => Promise<number>): void;
}

/** As a number of gateways like `settings`, and one more that gives an upstream up soon, the last. */
export async function openStage(
  t: Teardown,
  name: string,
  store: Readonly<Record<string, unknown>>,
  gateways: number,
): Promise<Stage> {
  const histories: History[] = [];
  const plots = new Map<string, Plot>();
  const owners = new Map<string, { readonly plot: Plot; readonly key: string }>();
  const outlived = new Map<string, { token?: string; readonly resumed: Promise<void> }>();
  let requests = 0;
  let executions = 0;

  const telling = new Map<string, { readonly status: (n: number) => Promise<number>; n: number }>();

  const upstream = await startUpstream(t, {
    respond: async (seen, _req, res) => {
      const [path = "", query] = seen.url.split("?");
      const asked = path === STATUS_PATH ? telling.get(query ?? "") : undefined;
      if (asked !== undefined) {
        asked.n += 1;
        return writeAnswer(res, { status: await asked.status(asked.n) });
      }
      const plot = plots.get(path);
      if (plot === undefined) throw new Error("a request of no situation");
      executions += 1;
      const execution = executions;
      plot.log.push({
        kind: "execution",
        execution,
        scope: "",
        key: seen.all("idempotency-key")[0] ?? "",
        fingerprint: fingerprintOf(seen.method, query, seen.body.toString("utf8")),
        fence: fenceOf(seen),
        atMs: Date.now(),
      });
      const behave = plot.behaviours[plot.executions] ?? plot.behaviours.at(-1);
      plot.executions += 1;
      plot.arrivals[plot.executions]?.();
      const ended = await behave?.(res, execution);
      const given = ended === DROPPED ? undefined : ended;
      plot.log.push({
        kind: "execution-end",
        execution,
        answer: given && digestOf(given.status, pairsOf(given.headers), Buffer.from(given.body)),
        released: ended === DROPPED || given?.status === 503,
        succeeded: given !== undefined && given.status < 300,
        atMs: Date.now(),
      });
    },
  });

  /** Tells the history what the store grants and acknowledges, and plays the stopped gateway. */
  function between(inner: Store): Store {
    const tellAbout = (
      id: string,
      event: (who: { scope: string; key: string }) => HistoryEvent,
    ) => {
      const owner = owners.get(id);
      if (owner !== undefined) owner.plot.log.push(event({ scope: "", key: owner.key }));
    };
    const granted = new Set<string>();
    const resumed = async (id: string, token: string): Promise<void> => {
      const stopped = outlived.get(id);
      if (stopped?.token === token) await stopped.resumed;
    };
    return {
      ...inner,
      async claim(request) {
        const stopped = outlived.get(request.id);
        const first = stopped !== undefined && stopped.token === undefined;
        if (first) stopped.token = request.token;
        const answer = await inner.claim(first ? { ...request, leaseMs: 1 } : request);
        if (answer.kind === "granted" && !granted.has(request.token)) {
          granted.add(request.token);
          const { fence } = answer;
          tellAbout(request.id, (who) => ({ kind: "claimed", ...who, fence, atMs: Date.now() }));
        }
        return answer;
      },
      async complete(id, token, ...rest) {
        await resumed(id, token);
        const answer = await inner.complete(id, token, ...rest);
        if (answer.kind === "done") {
          tellAbout(id, (who) => ({ kind: "completed", ...who, atMs: Date.now() }));
        }
        return answer;
      },
      async markUnknown(id, token, ...rest) {
        await resumed(id, token);
        return inner.markUnknown(id, token, ...rest);
      },
      /** As if everything had happened long ago: by then what the upstream denies counts. */
      async look(id) {
        const found = await inner.look(id);
        return found && { ...found, nowMs: found.nowMs + DAY_MS };
      },
    };
  }

  const settings = {
    store: { ...store, timeout: "5s" },
    upstream: { url: upstream.url },
    defaults: DEFAULTS,
    routes: [PROBED],
  };
  const hasty = { ...settings, upstream: { url: upstream.url, timeout: "500ms", connectTimeout: "500ms" } }; // prettier-ignore
  const all: TestGateway[] = [];
  for (let i = 0; i < gateways; i += 1) all.push(await startGateway(t, settings, { between }));
  all.push(await startGateway(t, hasty, { between }));

  return {
    histories,
    plot(title, faultFree, ...behaviours) {
      const target = `/${title}/${randomBytes(4).toString("hex")}`;
      const plot: Plot = { target, log: [], behaviours, arrivals: [], executions: 0 };
      plots.set(target, plot);
      histories.push({ name: `${name} ${title}`, faultFree, events: plot.log });
      return plot;
    },
    async ask(plot, { key, method = "POST", body = BODY, query, by = 0 }) {
      requests += 1;
      const request = requests;
      owners.set(idOf(key), { plot, key });
      plot.log.push({
        kind: "request",
        request,
        scope: "",
        key,
        fingerprint: fingerprintOf(method, query, body),
        onUnknown: method === "PUT" ? "resend" : "block",
        atMs: Date.now(),
      });
      const headers = { ...HEADERS, "Idempotency-Key": key };
      let answer: Answer;
      try {
        const target = query === undefined ? plot.target : `${plot.target}?${query}`;
        answer = await call(all.at(by)!.url + target, { method, headers, body });
      } catch {
        plot.log.push({ kind: "no-reply", request, atMs: Date.now() });
        return undefined;
      }
      const outcome = answer.header("idempotency-status") ?? "none";
      const carries = CARRYING.has(outcome);
      plot.log.push({
        kind: "reply",
        request,
        status: answer.status,
        outcome,
        ...(carries && { answer: digestOf(answer.status, answer.pairs, answer.body) }),
        atMs: Date.now(),
      });
      return answer;
    },
    arrived: (plot, n) =>
      plot.executions >= n
        ? Promise.resolve()
        : new Promise((resolve) => {
            plot.arrivals[n] = resolve;
          }),
    outlive(key) {
      let resume = (): void => undefined;
      const resumed = new Promise<void>((go) => {
        resume = go;
      });
      outlived.set(idOf(key), { resumed });
      return { resume };
    },
    tells: (key, status) => telling.set(`key=${key}`, { status, n: 0 }),
  };
}

const BODY = "amount=100";
const HEADERS = { "Content-Type": "text/plain" };
const DAY_MS = 86_400_000;
const STATUS_PATH = "/status";
/** Below this path the upstream is asked what became of an unknown outcome. */
const PROBED = {
  name: "probed",
  match: { methods: ["POST"], path: "/probed/*" },
  onUnknown: "probe",
  probe: { path: `${STATUS_PATH}?key={key}`, timeout: "30s" },
};
const DEFAULTS = { limits: { responseBytes: "4KiB" } };

/** Replies that carry what the upstream has said. */
const CARRYING: ReadonlySet<string> = new Set(["executed", "replayed", "released", "not-recorded"]);

/** Keys of callers without credentials, in the header that the defaults name. */
function idOf(key: string): string {
  const scope = scopeOf([], ["authorization", "x-api-key"]);
  return recordId(scope, { from: "header", name: "Idempotency-Key" }, "default", key);
}

/** The path is the plot's and the media type is always the same: what may differ is this. */
function fingerprintOf(method: string, query: string | undefined, body: string): string {
  return `${method} ?${query ?? ""} ${body}`;
}

function fenceOf(seen: Call): number | undefined {
  const [fence] = seen.all("idempotency-fence");
  return fence === undefined ? undefined : Number(fence);
}

function pairsOf(flat: readonly string[]): readonly Pair[] {
  return flat.flatMap((name, at): Pair[] => (at % 2 === 0 ? [[name, flat[at + 1] ?? ""]] : []));
}

/** Status, end-to-end fields and bytes, whoever is asked. */
function digestOf(status: number, pairs: readonly Pair[], body: Uint8Array): string {
  const fields = told(pairs).filter(([name]) => !/^(?:x|stripe)-should-retry$/iu.test(name));
  const hash = createHash("sha256")
    .update(JSON.stringify([status, fields]))
    .update(body);
  return hash.digest("hex");
}
