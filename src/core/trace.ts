/**
 * Traces as the flow sees them: a place in one as `traceparent` writes it (W3C Trace Context), the port of what keeps
 * spans, and the note of an execution's trace among the recorded fields. Exports nothing and draws no ids.
 */
import { isNamed } from "./fields.ts";
import type { ExchangeReport } from "./ports.ts";
import type { HeaderPair, RecordedResponse, StoredRecord } from "./record.ts";

/** One span, as others refer to it. */
export interface TracePlace {
  /** 32 lower-case hex digits, not all 0. */
  readonly traceId: string;
  /** 16 of them. */
  readonly spanId: string;
  /** Whether the trace is kept. */
  readonly sampled: boolean;
}

/**
 * `read`: the resource as it stands, asked of the upstream before a write is judged. `probe`: what became of an unknown
 * outcome, asked by a retry that has met it.
 */
export type Step = "claim" | "probe" | "lock" | "read" | "forward" | "settle";

/** What is told of a step at its end. Fixed words and numbers, never anything that a caller sent. */
export interface StepEnd {
  readonly result?: string;
  /** Of the upstream's answer. */
  readonly status?: number;
  readonly cause?: string;
  readonly failed?: boolean;
}

export interface StepTrace {
  readonly place: TracePlace;
  end(end: StepEnd): void;
}

/** The span of one exchange. No call throws. */
export interface ExchangeTrace {
  readonly place: TracePlace;
  step(name: Step): StepTrace;
  /** The answer is that of another trace. */
  link(executed: TracePlace): void;
  /** `undefined`: a defect ended it before there was a report. */
  finish(report: ExchangeReport | undefined): void;
}

export interface Tracer {
  /** `parent`: the caller's place, where it named one. */
  begin(parent: TracePlace | undefined): ExchangeTrace;
}

const TRACEPARENT = "traceparent";

/** A later version may say more behind the flags; what stands before it keeps its meaning. */
const FORM =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** `undefined` where it says nothing that can be continued. */
export function parseTraceparent(value: string): TracePlace | undefined {
  const [, traceId, spanId, flags = "", more] = FORM.exec(value) ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  if (value.startsWith("00") && more !== undefined) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function renderTraceparent({ traceId, spanId, sampled }: TracePlace): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

/** Where a caller stands in its trace; two fields are as good as none. */
export function callersPlace(headers: readonly HeaderPair[]): TracePlace | undefined {
  const fields = headers.filter(([name]) => isNamed(name, TRACEPARENT));
  const [field] = fields;
  return field === undefined || fields.length > 1 ? undefined : parseTraceparent(field[1]);
}

/** The fields for the upstream with this place as its parent. What belonged to a trace that is not continued is dropped. */
export function fieldsFrom(
  place: TracePlace,
  headers: readonly HeaderPair[],
  continued: boolean,
): readonly HeaderPair[] {
  const kept = headers.filter(
    ([name]) => !isNamed(name, TRACEPARENT) && (continued || !isNamed(name, "tracestate")),
  );
  return [...kept, [TRACEPARENT, renderTraceparent(place)]];
}

/** The gateway's own, and always the last of the recorded fields: it is looked for nowhere else. */
export const TRACE_NOTE = "idempotency-trace";

/** Notes whose trace holds the execution. One that is not kept leads nowhere. */
export function withTraceNote(response: RecordedResponse, place: TracePlace): RecordedResponse {
  if (!place.sampled) return response;
  return { ...response, headers: [...response.headers, [TRACE_NOTE, renderTraceparent(place)]] };
}

/** The recorded fields as they may be shown. Nobody outside is told of the note. */
export function withoutTraceNote(headers: readonly HeaderPair[]): readonly HeaderPair[] {
  return headers.at(-1)?.[0] === TRACE_NOTE ? headers.slice(0, -1) : headers;
}

/** The trace that executed what the record answers, where it was noted. */
export function executedIn(record: StoredRecord | undefined): TracePlace | undefined {
  if (record?.state !== "completed") return undefined;
  const [name, value = ""] = record.response?.headers.at(-1) ?? [];
  return name === TRACE_NOTE ? parseTraceparent(value) : undefined;
}
