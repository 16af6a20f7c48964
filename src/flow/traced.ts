/**
 * One exchange under a trace: its span, the steps towards the upstream, and the `traceparent` that the upstream gets.
 * The steps around the store and the locks are marked where they are taken. Without a tracer nothing here is run.
 */
import type {
  Client,
  ExchangeReport,
  ForwardOutcome,
  InboundRequest,
  Observer,
  Passed,
  Upstream,
} from "../core/ports.ts";
import {
  callersPlace,
  fieldsFrom,
  type ExchangeTrace,
  type StepEnd,
  type Tracer,
} from "../core/trace.ts";
import type { FlowDeps } from "./deps.ts";
import { exchange } from "./exchange.ts";

/** As `exchange`. */
export async function tracedExchange(
  request: InboundRequest,
  client: Client,
  deps: FlowDeps,
  tracer: Tracer,
): Promise<void> {
  const parent = callersPlace(request.headers);
  const continued = parent !== undefined;
  const trace = tracer.begin(parent);
  let report: ExchangeReport | undefined;
  const observer: Observer = {
    ...deps.observer,
    finished(told) {
      report = told;
      deps.observer.finished(told);
    },
  };
  const upstream = tracedUpstream(deps.upstream, request.method, trace, continued);
  try {
    const passing = tracedClient(client, request, trace, continued);
    await exchange(request, passing, { ...deps, observer, upstream, trace });
  } finally {
    trace.finish(report);
  }
}

function tracedUpstream(
  upstream: Upstream,
  method: string,
  trace: ExchangeTrace,
  continued: boolean,
): Upstream {
  return {
    async send(request, limits) {
      // The only calls that are not the client's own are looks at a resource.
      const step = trace.step(request.method === method ? "forward" : "read");
      const headers = fieldsFrom(step.place, request.headers, continued);
      const outcome = await upstream.send({ ...request, headers }, limits);
      step.end(sendEnd(outcome));
      return outcome;
    },
  };
}

function sendEnd(outcome: ForwardOutcome): StepEnd {
  switch (outcome.kind) {
    case "not-sent":
    case "unknown":
      return { result: outcome.kind, cause: outcome.cause, failed: true };
    case "answered":
    case "streaming": {
      const { status } = outcome.kind === "answered" ? outcome.answer : outcome;
      return { result: outcome.kind, status, failed: status >= 500 };
    }
  }
}

/** What passes through is forwarded too, body and all. */
function tracedClient(
  client: Client,
  request: InboundRequest,
  trace: ExchangeTrace,
  continued: boolean,
): Client {
  return {
    send: (reply) => client.send(reply),
    async pass(read, told) {
      const step = trace.step("forward");
      const headers = fieldsFrom(step.place, request.forwardHeaders, continued);
      const passed = await client.pass(read, told, headers);
      step.end(passEnd(passed));
      return passed;
    },
  };
}

function passEnd({ outcome, status }: Passed): StepEnd {
  const failed = outcome === "upstream-unreachable" || status >= 500;
  return { result: outcome, ...(status > 0 && { status }), failed };
}
