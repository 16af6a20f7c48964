/**
 * The inbound room and the tunnel alone, in front of a test upstream, with a handler that the test chooses. For tests
 * of what happens to bytes; the whole gateway has its own support.
 */
import type { ExchangeReport, Observer } from "../../src/core/ports.ts";
import {
  createListener,
  type Handler,
  type Listener,
  type ListenerOptions,
} from "../../src/http/listener.ts";
import { newScreen, type ScreenRules } from "../../src/http/screen.ts";
import { createTunnel, type TunnelOptions } from "../../src/http/tunnel.ts";
import type { Teardown } from "./upstream.ts";

export interface GateOptions {
  /** Default: everything passes through. */
  readonly handler?: Handler;
  readonly listener?: Partial<ListenerOptions>;
  readonly screen?: Partial<ScreenRules>;
  readonly tunnel?: Partial<TunnelOptions>;
}

export interface TestGate {
  readonly port: number;
  readonly listener: Listener;
  /** What the observer was told, in order. */
  readonly reports: readonly ExchangeReport[];
  /** Resolves with the first report that satisfies, now or later. */
  reported(satisfies: (report: ExchangeReport) => boolean): Promise<ExchangeReport>;
}

export async function startGate(
  t: Teardown,
  upstreamUrl: string,
  options: GateOptions = {},
): Promise<TestGate> {
  const reports: ExchangeReport[] = [];
  const waiting = new Set<() => void>();
  const observer: Observer = {
    began: () => () => undefined,
    finished: (report) => {
      reports.push(report);
      for (const look of waiting) look();
    },
    lostWrite: () => undefined,
    unknownOutcome: () => undefined,
    leftBehind: () => undefined,
    recordedBytes: () => undefined,
    probed: () => undefined,
    probeDropped: () => undefined,
  };
  const tunnel = createTunnel({
    url: upstreamUrl,
    connectTimeoutMs: 2000,
    timeoutMs: 5000,
    connections: 16,
    idleTimeoutMs: 5000,
    ...options.tunnel,
  });
  const screen = newScreen({
    keyHeaders: ["idempotency-key"],
    credentialHeaders: ["authorization", "x-api-key"],
    guardedReads: new Set(),
    ...options.screen,
  });
  const listener = createListener(
    {
      host: "127.0.0.1",
      port: 0,
      trustedProxies: [],
      headersTimeoutMs: 5000,
      bodyTimeoutMs: 5000,
      idleTimeoutMs: 5000,
      maxConnections: 0,
      terms: () => ({ screen, tunnel }),
      ...options.listener,
    },
    options.handler ?? passAll(observer),
    observer,
  );
  const { port } = await listener.start();
  t.teardown(async () => {
    await listener.stop(0);
    tunnel.close();
  });
  return {
    port,
    listener,
    reports,
    reported: (satisfies) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = reports.find(satisfies);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
  };
}

/** Passes everything and reports it under the route `passed`. */
function passAll(observer: Observer): Handler {
  return async (request, client) => {
    const { status, outcome } = await client.pass(undefined);
    const { method, target } = request;
    observer.finished({ route: "passed", method, path: target, outcome, status, durationMs: 0 });
  };
}
