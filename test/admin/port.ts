/** Starts the admin port over the desk, and talks to it over real sockets. */
import { EventEmitter, once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import type { Test } from "tap";
import { type AdminOptions, createAdmin } from "../../src/admin/server.ts";
import { createDesk, type Desk } from "./desk.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** The body, where it is JSON. */
  readonly json: Readonly<Record<string, unknown>>;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Uint8Array;
}

export interface Port {
  readonly host: string;
  readonly port: number;
  readonly desk: Desk;
  readonly audits: unknown[];
  readonly failures: unknown[][];
  readonly ask: (path: string, ask?: Ask) => Promise<Answer>;
  /** Sends bytes as they stand, and resolves with all that comes until the server closes. */
  readonly raw: (bytes: string) => Promise<string>;
  readonly stop: () => Promise<void>;
}

/** What the console asks for, where a test is about something else. */
export const STANDING = {
  consoleDir: new URL("../../dist/console/", import.meta.url),
  counters: async () => ({ inFlight: 0 }),
  about: () => ({ version: "test" }),
  routes: () => ({ defaults: {}, routes: [] }),
  policies: () => [],
  policyOf: () => undefined,
  newToken: () => "e".repeat(32),
  showAnswers: () => false,
  looked: () => undefined,
  replaysOf: async () => ({ told: [], silent: 0 }),
} satisfies Partial<AdminOptions>;

export async function startPort(t: Test, over: Partial<AdminOptions> = {}): Promise<Port> {
  const desk = createDesk();
  const audits: unknown[] = [];
  const failures: unknown[][] = [];
  const admin = createAdmin({
    host: "127.0.0.1",
    port: 0,
    token: "",
    desk,
    problems: async () => [],
    exposition: async () => ({ contentType: "text/plain; version=0.0.4", body: "up 1\n" }),
    audit: (change) => audits.push(change),
    failure: (...failure) => failures.push(failure),
    executedRetentionMs: 3_600_000,
    ...STANDING,
    ...over,
  });
  const { host, port } = await admin.start();
  t.teardown(() => admin.stop());
  const to = host === "0.0.0.0" ? "127.0.0.1" : host;
  return {
    host,
    port,
    desk,
    audits,
    failures,
    ask: (path, ask = {}) => talk(to, port, path, ask),
    raw: (bytes) => {
      const socket = connect(port, to);
      socket.write(bytes);
      return text(socket);
    },
    stop: () => admin.stop(),
  };
}

/** A point that one side waits at until the other opens it. */
export function createBarrier() {
  const events = new EventEmitter();
  return { passed: once(events, "open"), open: () => void events.emit("open") };
}

function talk(host: string, port: number, path: string, ask: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = "GET", headers = {}, body } = ask;
    const sent = request({ host, port, path, method, headers, agent: false }, (response) => {
      text(response).then((got) => {
        const { statusCode: status = 0, headers: fields } = response;
        resolve({ status, headers: fields, body: got, json: parsed(got, fields["content-type"]) });
      }, reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

function parsed(body: string, type = ""): Readonly<Record<string, unknown>> {
  const isJson = body !== "" && /^application\/(problem\+)?json$/.test(type);
  return isJson ? (JSON.parse(body) as Record<string, unknown>) : {};
}
