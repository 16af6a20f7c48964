/**
 * Traces by OpenTelemetry: spans in batches to a collector that speaks OTLP over HTTP, as JSON. The only file that knows
 * OpenTelemetry, and loaded only where tracing is configured. Whatever becomes of the spans, no request waits for it.
 * Attributes are named one by one: no key, no path, no field and no body is among them.
 */
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace as api,
  type Attributes,
  type Context,
  type Span,
  type SpanContext,
  type Tracer as SpanTracer,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  type SpanExporter,
} from "@opentelemetry/sdk-trace-base";
import type { ExchangeReport } from "../core/ports.ts";
import type { ExchangeTrace, Step, StepEnd, TracePlace, Tracer } from "../core/trace.ts";
import type { Log } from "./log.ts";

export interface TracingOptions {
  readonly endpoint: string;
  /** The part of all traces that begin here that is kept, 0 to 1. A caller's own decision is followed. */
  readonly sample: number;
  readonly serviceName: string;
  readonly version: string;
  readonly log: Pick<Log, "event">;
}

export interface Tracing extends Tracer {
  /** Sends what is left. Never rejects; bounded. */
  close(): Promise<void>;
}

/** For one call to the collector, repeats included. */
const EXPORT_MS = 10_000;
/** How long a stop waits for the collector. */
const FLUSH_MS = 2000;
/** Between two lines about spans that were lost. */
const TELL_EVERY_MS = 60_000;

export function createTracing(options: TracingOptions): Tracing {
  const { endpoint, sample, serviceName, version, log } = options;
  const exporter = new OTLPTraceExporter({ url: endpoint, timeoutMillis: EXPORT_MS });
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ "service.name": serviceName, "service.version": version }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sample) }),
    spanProcessors: [new BatchSpanProcessor(tellingLosses(exporter, log))],
  });
  const tracer = provider.getTracer("idempotency-gateway", version);
  return {
    begin: (parent) => new SpanOfExchange(tracer, parent),
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const enough = new Promise<void>((resolve) => {
        timer = setTimeout(() => {
          log.event("warn", "the collector has not taken the last traces in time");
          resolve();
        }, FLUSH_MS);
      });
      // What fails here has been told as lost spans.
      await Promise.race([provider.shutdown().catch(() => undefined), enough]);
      clearTimeout(timer);
    },
  };
}

/** Counts the spans that no collector has taken, and says so once a minute at most. */
function tellingLosses(exporter: SpanExporter, log: Pick<Log, "event">): SpanExporter {
  let lost = 0;
  let toldMs = Number.NEGATIVE_INFINITY;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        if (result.error !== undefined) {
          lost += spans.length;
          const nowMs = performance.now();
          if (nowMs - toldMs >= TELL_EVERY_MS) {
            toldMs = nowMs;
            log.event("warn", "traces could not be exported", { spansLost: lost });
          }
        }
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
  };
}

/** Steps that are calls to the upstream. */
const CALLS: ReadonlySet<Step> = new Set<Step>(["forward", "probe", "read"]);

class SpanOfExchange implements ExchangeTrace {
  readonly #tracer: SpanTracer;
  readonly #span: Span;
  readonly #inside: Context;
  readonly place: TracePlace;

  constructor(tracer: SpanTracer, parent: TracePlace | undefined) {
    const outside =
      parent === undefined ? ROOT_CONTEXT : api.setSpanContext(ROOT_CONTEXT, contextOf(parent));
    this.#tracer = tracer;
    // Renamed at the end, when the route is known.
    this.#span = tracer.startSpan("exchange", { kind: SpanKind.SERVER }, outside);
    this.#inside = api.setSpan(ROOT_CONTEXT, this.#span);
    this.place = placeOf(this.#span);
  }

  step(name: Step) {
    const kind = CALLS.has(name) ? SpanKind.CLIENT : SpanKind.INTERNAL;
    const span = this.#tracer.startSpan(name, { kind }, this.#inside);
    return { place: placeOf(span), end: (end: StepEnd) => endStep(span, end) };
  }

  link(executed: TracePlace): void {
    this.#span.addLink({
      context: contextOf(executed),
      attributes: { "idempotency.link": "executed" },
    });
  }

  finish(report: ExchangeReport | undefined): void {
    if (report === undefined) {
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: "internal-error" });
    } else {
      this.#span.updateName(`${report.method} ${report.route}`);
      this.#span.setAttributes(exchangeAttributes(report));
      if (report.status >= 500 || report.outcome === "outcome-unknown") {
        this.#span.setStatus({ code: SpanStatusCode.ERROR, message: report.outcome });
      }
    }
    this.#span.end();
  }
}

function endStep(span: Span, { result, status, cause, failed }: StepEnd): void {
  span.setAttributes(
    given({
      "idempotency.result": result,
      "http.response.status_code": status,
      "idempotency.cause": cause,
    }),
  );
  if (failed === true) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

/** Member by member: the path stays out, it may name the key. */
function exchangeAttributes(report: ExchangeReport): Attributes {
  return given({
    "http.request.method": report.method,
    "http.response.status_code": report.status === 0 ? undefined : report.status,
    "idempotency.route": report.route,
    "idempotency.outcome": report.outcome,
    "idempotency.would_be": report.wouldBe,
    "idempotency.record": report.recordId,
    "idempotency.fence": report.fence,
    "idempotency.cause": report.cause,
  });
}

function given(values: Readonly<Record<string, string | number | undefined>>): Attributes {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

function placeOf(span: Span): TracePlace {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return { traceId, spanId, sampled: (traceFlags & TraceFlags.SAMPLED) !== 0 };
}

function contextOf({ traceId, spanId, sampled }: TracePlace): SpanContext {
  const traceFlags = sampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return { traceId, spanId, traceFlags, isRemote: true };
}
