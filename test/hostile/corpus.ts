/**
 * The corpus against the built gateway, a process of its own: each case with five methods, with and without keep-alive,
 * guarded and passing through, before five upstreams. What the upstream itself counted and kept is what is judged.
 */
import type { BatchResult } from "../proof/row.ts";
import { call } from "../support/client.ts";
import {
  configured,
  startGatewayProcess,
  type GatewayProcess,
} from "../support/gateway-process.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { readAnswers } from "./answers.ts";
import type { Case, Forwarded } from "./case.ts";
import { FRAMING } from "./cases-framing.ts";
import { EVASIVE_READS, EVASIVE_WRITES, HEADS } from "./cases-heads.ts";
import { Connections, loopbackAddress, trustedAddress, type Exchange } from "./connections.ts";
import { NODES, nodeProgram } from "./nodes.ts";
import { readAll, valuesOf } from "./reader.ts";
import { answerBody, type Seen } from "./recorder.ts";
import { hostileSettings } from "./serving.ts";
import { UPSTREAMS, type CorpusUpstream } from "./upstreams.ts";

const UNSAFE = ["POST", "PUT", "PATCH", "DELETE"];
const METHODS = [...UNSAFE, "OPTIONS"];

/** One try of one case. */
interface Run {
  readonly tried: Case;
  readonly upstream: string;
  readonly method: string;
  readonly keepAlive: boolean;
  readonly keyed: boolean;
}

function runsOf(cases: readonly Case[], methods: readonly string[], upstream: string): Run[] {
  const runs: Run[] = [];
  for (const tried of cases) {
    const { ownMethod = false, ownKey = false } = tried.options;
    for (const method of ownMethod ? ["POST"] : methods) {
      for (const keepAlive of [true, false]) {
        for (const keyed of ownKey ? [false] : [true, false]) {
          runs.push({ tried, upstream, method, keepAlive, keyed });
        }
      }
    }
  }
  return runs;
}

export const CASES = FRAMING.length + HEADS.length + EVASIVE_WRITES.length + EVASIVE_READS.length;

/** What is refused before anything of it is sent is all the same to an upstream: it is tried before the strictest one. */
function meets(tried: Case, upstream: string): boolean {
  if (tried.options.notBefore?.includes(upstream) === true) return false;
  return tried.kind === "forwarded" || upstream === "recorder" || begins(tried.bytes);
}

/** Whether its head is whole and well-formed and its body is not: of what passes through, something may have been sent. */
function begins(bytes: string): boolean {
  const text = bytes.replaceAll("<M>", "POST").replaceAll("<P>", "/").replaceAll("<K>", "");
  return readAll(Buffer.from(text, "latin1"))[0]?.whole === false;
}

/** All runs on one Node version. */
export const RUNS: readonly Run[] = [...UPSTREAMS.keys()]
  .flatMap((upstream) => [
    ...runsOf([...FRAMING, ...HEADS], METHODS, upstream),
    ...runsOf(EVASIVE_WRITES, UNSAFE, upstream),
    ...runsOf(EVASIVE_READS, ["OPTIONS"], upstream),
  ])
  .filter(({ tried, upstream }) => meets(tried, upstream));

/** What stands between the corpus and an upstream. */
export interface Tried {
  readonly port: number;
  /** How many requests it says it has sent, or may have. */
  sent(): Promise<number>;
  /** Ends it gracefully; resolves with the exit code. */
  end(): Promise<number | null>;
}

export type StartTried = (t: Teardown, upstreamPort: number, node: number) => Promise<Tried>;

/** Unit `n` is run `n % RUNS.length` on Node version `n / RUNS.length`; the first version is the one that runs this. */
export async function corpus(
  first: number,
  count: number,
  startTried: StartTried = startBuilt,
): Promise<BatchResult> {
  const tries = new Map<string, Try[]>();
  for (let unit = first; unit < first + count; unit += 1) {
    const run = RUNS[unit % RUNS.length];
    const node = NODES[Math.floor(unit / RUNS.length)];
    if (run === undefined || node === undefined) throw new Error(`there is no unit ${unit}`);
    const group = `${node} ${run.upstream}`;
    tries.set(group, [...(tries.get(group) ?? []), newTry(run, unit % RUNS.length, node)]);
  }
  const violations: string[] = [];
  const counts = { "requests at the upstream": 0, refused: 0, forwarded: 0 };
  for (const group of tries.values()) {
    const judged = await withTeardown((t) => tryAll(t, group, startTried));
    violations.push(...judged.violations);
    counts["requests at the upstream"] += judged.seen;
    for (const { run } of group) counts[run.tried.kind] += 1;
  }
  return { done: count, violations, counts };
}

interface Try {
  readonly run: Run;
  readonly node: number;
  readonly from: string;
  readonly path: string;
  /** Of the case alone, and what is sent: with the request behind it. */
  readonly bytes: string;
  readonly sent: string;
}

function newTry(run: Run, n: number, node: number): Try {
  const { tried, method, keepAlive, keyed } = run;
  const from = tried.options.trusted === true ? trustedAddress(n) : loopbackAddress(n);
  const path = `/c/${n}`;
  const key = keyed ? `Idempotency-Key: "corpus-${n}"\r\n` : "";
  const bytes = tried.bytes
    .replaceAll("<K>", `${key}${keepAlive ? "" : "Connection: close\r\n"}`)
    .replaceAll("<M>", method)
    .replaceAll("<P>", path);
  return { run, node, from, path, bytes, sent: bytes + victim(n) };
}

/** The request behind the case. It ends the connection, where that goes on so far. */
function victim(n: number): string {
  const body = `victim ${n}`;
  return `POST /victim/${n} HTTP/1.1\r\nHost: gateway.test\r\nIdempotency-Key: "victim-${n}"\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
}

/** Connections at once: a refused one is read on for up to a second, so that its answer arrives. */
const PARALLEL = 256;
const PATIENCE = { quietMs: 60_000, hangMs: 60_000 };

/** All of them have the Node version and the upstream in common. */
async function tryAll(t: Teardown, tries: readonly Try[], startTried: StartTried) {
  const [some] = tries;
  const start = UPSTREAMS.get(some?.run.upstream ?? "");
  if (some === undefined || start === undefined) throw new Error("nothing to try");
  const upstream = await start(t);
  const gateway = await startTried(t, upstream.port, some.node);
  const connections = new Connections(gateway.port, PATIENCE);
  t.teardown(() => connections.close());
  const exchanges = new Map<Try, Exchange>();
  const queue = tries.values();
  const work = async (): Promise<void> => {
    for (const next of queue) {
      exchanges.set(next, await connections.exchange(next.from, [next.sent], undefined));
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  const sent = await gateway.sent();
  const count = await upstream.count();
  const code = await gateway.end();

  const where = `Node ${some.node}, ${upstream.name}`;
  const violations = [...exchanges].flatMap(([tried, exchange]) => {
    const faults = judge(tried, exchange, upstream);
    if (faults.length === 0) return [];
    const { method, keepAlive, keyed } = tried.run;
    const what = `${where}, ${method}, ${keepAlive ? "keep-alive" : "close"}, ${keyed ? "guarded" : "not guarded"}`;
    const told = `${JSON.stringify(tried.sent.slice(0, 500))} answered ${JSON.stringify(exchange.received.slice(0, 500))}`;
    return [`${tried.run.tried.name} (${what}): ${faults.join("; ")}: ${told}`];
  });
  if (code !== 0) violations.push(`${where}: the gateway ended with ${code}`);
  const seen = tries.flatMap(({ from }) => upstream.seen(from));
  const whole = seen.filter((request) => request.whole).length;
  // Requests whose body broke off may have begun to reach the upstream; a server in between may have counted them.
  const begun = tries.filter(({ bytes }) => begins(bytes)).length;
  if (count < whole || count > whole + begun)
    violations.push(
      `${where}: the upstream counted ${count} requests, of which ${whole} are explained`,
    );
  if (count > sent)
    violations.push(
      `${where}: the upstream counted ${count} requests, and the gateway sent ${sent}`,
    );
  return {
    violations: [...violations, ...upstream.violations().map((fault) => `${where}: ${fault}`)],
    seen: count,
  };
}

/** The built gateway on this version of Node. */
const startBuilt: StartTried = async (t, upstreamPort, node) => {
  const args = configured(t, hostileSettings(upstreamPort));
  const program = nodeProgram(node);
  const gateway = await startGatewayProcess(t, args, {}, undefined, undefined, program);
  return {
    port: Number(new URL(gateway.url).port),
    sent: () => sentBy(gateway),
    end: () => gateway.end("SIGTERM"),
  };
};

async function sentBy(gateway: GatewayProcess): Promise<number> {
  const { body } = await call(`${gateway.admin}/metrics`);
  const samples = body
    .toString()
    .matchAll(/^idempotency_gateway_requests_total\{([^}]*)\} (\d+)/gm);
  return [...samples]
    .filter(([, labels = ""]) => !/outcome="(request-invalid|key-invalid)"/.test(labels))
    .reduce((total, [, , n]) => total + Number(n), 0);
}

function judge(tried: Try, exchange: Exchange, upstream: CorpusUpstream): string[] {
  const seen = upstream.seen(tried.from);
  const answers = readAnswers(exchange.received, []);
  if (exchange.hung) return ["the connection was not ended"];
  if (typeof answers === "string") return [answers];
  const { tried: corpusCase } = tried.run;
  if (corpusCase.kind === "refused") {
    const faults = seen
      .filter(({ whole }) => whole)
      .map(({ target }) => `the upstream got ${target}`);
    const [answer, ...others] = answers;
    const right = corpusCase.statuses.some((status) => status === answer?.status);
    if (!right || others.length > 0) {
      const told = answers.map(({ status }) => status).join(", ");
      faults.push(`answered with ${told || "nothing"}, not ${corpusCase.statuses.join(" or ")}`);
    }
    return faults;
  }
  const goesOn = tried.run.keepAlive && corpusCase.expected.ends !== true;
  const [own, ...others] = seen.toSorted(
    (one, other) => Number(isVictim(one)) - Number(isVictim(other)),
  );
  if (own === undefined || others.length !== (goesOn ? 1 : 0))
    return [`the upstream got ${seen.length} requests`];
  const faults = forwardFaults(own, tried, corpusCase, upstream.exact);
  if (
    others.some(
      (other) => !isVictim(other) || other.body.toString() !== tried.sent.slice(-other.body.length),
    )
  )
    faults.push("the request behind it is another one");
  const bodies = answers.map(({ status, body }) => `${status} ${body}`);
  const right = [own, ...others].map((request) => `200 ${answerBody(tried.from, request)}`);
  if (bodies.join("\n") !== right.join("\n")) faults.push(`answered ${bodies.join(" and ")}`);
  return faults;
}

function isVictim({ target }: Seen): boolean {
  return target.startsWith("/victim/");
}

/** What of it did not arrive as it was sent. */
function forwardFaults(
  seen: Seen,
  { run, from, path }: Try,
  { expected }: Forwarded,
  exact: boolean,
): string[] {
  const faults: string[] = [];
  const { body, target = "<P>", fields = [], without = [] } = expected;
  const guarded = run.keyed && UNSAFE.includes(run.method);
  const framing = guarded ? "length" : expected.framing;
  // A body that is empty, and one that is not there, are the same to every reader.
  const empty = body === "" && framing !== "chunked" && seen.framing !== "chunked";
  if (seen.method !== run.method) faults.push(`method ${seen.method}`);
  if (seen.target !== target.replace("<P>", path)) faults.push(`target ${seen.target}`);
  if (seen.body.toString("latin1") !== body) faults.push("another body");
  if (exact && seen.framing !== framing && !empty) faults.push(`framing ${seen.framing}`);
  for (const [name, value] of fields) {
    const values = valuesOf(seen.fields, name.toLowerCase());
    if (values.join("|") !== value.replace("<A>", from))
      faults.push(`${name}: ${values.join("|")}`);
  }
  for (const name of without) if (valuesOf(seen.fields, name).length > 0) faults.push(name);
  return faults;
}
