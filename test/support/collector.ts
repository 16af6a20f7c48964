/**
 * A collector of traces: a real HTTP server that takes OTLP as JSON and keeps every span, or answers what a test tells it
 * to. Checks nothing; the tests do.
 */
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { Teardown } from "./teardown.ts";

export interface KeptSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  /** SERVER is 2, CLIENT is 3, INTERNAL is 1. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly failed: boolean;
  readonly service: string;
}

export interface Collector {
  readonly endpoint: string;
  readonly spans: readonly KeptSpan[];
  /** Everything that was sent, as it came. */
  text(): string;
  /** The head of every request. */
  readonly requests: readonly http.IncomingMessage[];
  /** Resolves when that many requests have come. */
  asked(n: number): Promise<void>;
  close(): Promise<void>;
}

interface Value {
  readonly stringValue?: string;
  readonly intValue?: number | string;
}

interface Attribute {
  readonly key: string;
  readonly value: Value;
}

interface Otlp {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly {
        readonly name: string;
        readonly traceId: string;
        readonly spanId: string;
        readonly parentSpanId?: string;
        readonly kind: number;
        readonly attributes: readonly Attribute[];
        readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
        readonly status?: { readonly code?: number };
      }[];
    }[];
  }[];
}

const ERROR = 2;

/** `answer`: what is answered instead of 200; `undefined` from it leaves the exporter waiting. */
export async function startCollector(
  t: Teardown,
  answer: () => number | undefined = () => 200,
): Promise<Collector> {
  const bodies: Buffer[] = [];
  const requests: http.IncomingMessage[] = [];
  const spans: KeptSpan[] = [];
  const waiting = new Set<() => void>();
  const server = http.createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("error", () => req.destroy());
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      const body = Buffer.concat(chunks);
      requests.push(req);
      bodies.push(body);
      const status = answer();
      if (status === 200) spans.push(...spansOf(JSON.parse(body.toString()) as Otlp));
      for (const wake of waiting) wake();
      if (status !== undefined)
        res.writeHead(status, { "Content-Type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  t.teardown(close);
  return {
    endpoint: `http://127.0.0.1:${port}/v1/traces`,
    spans,
    requests,
    text: () => Buffer.concat(bodies).toString(),
    asked: (n) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (requests.length < n) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    close,
  };
}

function spansOf({ resourceSpans }: Otlp): readonly KeptSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        name: span.name,
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId,
        kind: span.kind,
        attributes: valuesOf(span.attributes),
        links: (span.links ?? []).map(({ traceId, spanId }) => ({ traceId, spanId })),
        failed: span.status?.code === ERROR,
        service: String(valuesOf(resource.attributes)["service.name"]),
      })),
    ),
  );
}

function valuesOf(attributes: readonly Attribute[]): Readonly<Record<string, string | number>> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]),
  );
}
