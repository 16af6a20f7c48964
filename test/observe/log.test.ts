import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, closeSync } from "node:fs";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import t from "tap";
import { OUTCOMES, type Outcome } from "../../src/core/outcome.ts";
import { type ExchangeReport, StoreUnavailable } from "../../src/core/ports.ts";
import { createLog, type EventFields, type LogLevel } from "../../src/observe/log.ts";
import { RUNS_TYPESCRIPT } from "../support/bare-node.ts";

const CANARY = "canary-4f1d-secret";

const REPORT: ExchangeReport = {
  route: "charges",
  method: "POST",
  path: "/v1/charges",
  outcome: "executed",
  status: 201,
  recordId: "a".repeat(64),
  fence: 1,
  durationMs: 12.3456789,
  claimMs: 0.12345,
  upstreamMs: 10,
  settleMs: 0.0004,
};

function capture(level: LogLevel = "debug") {
  const raw: string[] = [];
  const log = createLog({ level, destination: { write: (line) => void raw.push(line) } });
  const lines = () => raw.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { log, raw, lines };
}

t.test("an exchange is one JSON line with these fields and no others", async (t) => {
  const { log, raw, lines } = capture();
  log.exchange(REPORT);
  t.equal(raw.length, 1);
  t.match(raw[0], /^\{.*\}\n$/);
  const { time, ...rest } = lines()[0] ?? {};
  t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  t.strictSame(rest, {
    level: "info",
    route: "charges",
    method: "POST",
    path: "/v1/charges",
    outcome: "executed",
    status: 201,
    recordId: "a".repeat(64),
    fence: 1,
    durationMs: 12.346,
    claimMs: 0.123,
    upstreamMs: 10,
    settleMs: 0,
    msg: "exchange",
  });
});

t.test(
  "what a report does not say is not on its line; what a shadow route would do is",
  async (t) => {
    const { log, lines } = capture();
    log.exchange({
      route: "none",
      method: "GET",
      path: "/",
      outcome: "shadow",
      wouldBe: "key-reused",
      status: 200,
      durationMs: 1,
      cause: "ECONNRESET",
    });
    const { time: _, ...rest } = lines()[0] ?? {};
    t.strictSame(Object.keys(rest).toSorted(), [
      "cause",
      "durationMs",
      "level",
      "method",
      "msg",
      "outcome",
      "path",
      "route",
      "status",
      "wouldBe",
    ]);
    t.equal(rest.wouldBe, "key-reused");
    t.equal(rest.cause, "ECONNRESET");
  },
);

t.test("members of a report that are not its own never reach the line", async (t) => {
  const { log, raw } = capture();
  const overfull = { ...REPORT, key: CANARY, headers: { authorization: CANARY }, body: CANARY };
  log.exchange(overfull);
  t.notMatch(raw.join(""), CANARY);
});

t.test("each outcome has its level", async (t) => {
  const warn: readonly Outcome[] = [
    "outcome-unknown",
    "not-recorded",
    "store-unavailable",
    "upstream-unreachable",
    "access-unchecked",
  ];
  const error: readonly Outcome[] = ["record-corrupt", "internal-error"];
  const { log, lines } = capture();
  for (const outcome of OUTCOMES) log.exchange({ ...REPORT, outcome });
  for (const line of lines()) {
    const outcome = line.outcome as Outcome;
    const level = error.includes(outcome) ? "error" : warn.includes(outcome) ? "warn" : "info";
    t.equal(line.level, level, outcome);
  }
  t.equal(lines().length, OUTCOMES.length);
});

t.test("level warn keeps daily business out of the log; silent keeps everything out", async (t) => {
  const warn = capture("warn");
  warn.log.exchange(REPORT);
  warn.log.exchange({ ...REPORT, outcome: "outcome-unknown" });
  t.strictSame(
    warn.lines().map(({ outcome }) => outcome),
    ["outcome-unknown"],
  );
  const silent = capture("silent");
  silent.log.failure("broken", new Error("x"));
  t.strictSame(silent.raw, []);
});

t.test(
  "a path loses its query, is cut at 256 characters, and cannot act on a terminal",
  async (t) => {
    const { log, raw, lines } = capture();
    const path = (of: string) => {
      log.exchange({ ...REPORT, path: of });
      return lines().at(-1)?.path;
    };
    t.equal(path(`/v1/charges?token=${CANARY}`), "/v1/charges");
    t.equal(path(`/v1/charges#${CANARY}`), "/v1/charges");
    t.equal(path(`/${"x".repeat(10_000)}`), `/${"x".repeat(255)}…`);
    t.equal(path("/a\u001b[2J\r\n\u0085b"), "/a\\u{1b}[2J\\u{d}\\u{a}\\u{85}b");
    t.equal(path("/\u2028\u202e\ud800é"), "/\\u{2028}\\u{202e}\\u{d800}é");
    t.notMatch(raw.join(""), CANARY);
    t.ok(raw.every((line) => line.indexOf("\n") === line.length - 1));
  },
);

t.test("an event carries plain fields; anything else is told by its type alone", async (t) => {
  const { log, raw, lines } = capture();
  log.event("info", "listening", { host: "127.0.0.1", port: 8080, tls: false, stores: ["a", "b"] });
  const { time: _, ...rest } = lines()[0] ?? {};
  t.strictSame(rest, {
    level: "info",
    msg: "listening",
    host: "127.0.0.1",
    port: 8080,
    tls: false,
    stores: ["a", "b"],
  });
  const smuggled = {
    request: { headers: { authorization: CANARY } },
    error: new Error(CANARY),
    list: [CANARY, { key: CANARY }],
    level: "fatal",
    time: "never",
  };
  log.event("warn", "odd", smuggled as unknown as EventFields);
  t.match(lines()[1], { request: "[object]", error_: "[object]", list: "[object]", level: "warn" });
  t.notMatch(raw.join(""), CANARY);
});

t.test(
  "worker is an event's own field in the primary; in a worker it is the worker's number",
  async (t) => {
    const { log, lines } = capture();
    log.event("error", "worker ended", { worker: 2 });
    t.equal(lines()[0]?.worker, 2);
    const raw: string[] = [];
    const inWorker = createLog({
      level: "info",
      worker: 7,
      destination: { write: (line) => void raw.push(line) },
    });
    inWorker.event("info", "odd", { worker: 2 });
    t.match(JSON.parse(raw[0] ?? ""), { worker: 7, worker_: 2 });
  },
);

t.test("an event without fields, at each level", async (t) => {
  const { log, lines } = capture();
  for (const level of ["debug", "info", "warn", "error"] as const) log.event(level, "x");
  t.strictSame(
    lines().map(({ level }) => level),
    ["debug", "info", "warn", "error"],
  );
});

t.test(
  "of an error its name, code and our own frames are told, and no message at all",
  async (t) => {
    const { log, raw, lines } = capture();
    const library = Object.assign(new Error(`SET ${CANARY} failed`), {
      code: "ECONNRESET",
      command: { name: "set", args: [CANARY, Buffer.from(CANARY)] },
      previousErrors: [new Error(CANARY)],
    });
    log.failure("the store failed", new StoreUnavailable(`key ${CANARY}`, { cause: library }));
    t.match(lines()[0], {
      level: "error",
      msg: "the store failed",
      error: {
        name: "StoreUnavailable",
        code: "STORE_UNAVAILABLE",
        stack: [/^test\/observe\/log\.test\.ts:\d+:\d+$/],
        cause: { name: "Error", code: "ECONNRESET" },
      },
    });
    t.notMatch(raw.join(""), CANARY);
    t.notMatch(raw.join(""), "node_modules");
  },
);

t.test(
  "a message that looks like stack frames, a name or a code that is prose: nothing comes through",
  async (t) => {
    const { log, raw, lines } = capture();
    const here = new URL("../..", import.meta.url).pathname;
    const forged = new Error(`x\n    at ${CANARY} (file://${here}src/${CANARY}.ts:1:1)\n    at y`);
    log.failure("broken", forged);
    log.failure(
      "broken",
      Object.assign(new Error("x"), { name: `E ${CANARY}`, code: `c ${CANARY}` }),
    );
    log.failure("broken", Object.assign(new Error("x"), { stack: CANARY }));
    log.failure("broken", Object.assign(new Error("x"), { stack: { canary: CANARY } }));
    log.failure("broken", CANARY);
    log.failure("broken", { message: CANARY, code: CANARY });
    log.failure("broken", undefined);
    const names = lines().map(({ error }) => (error as { name: string }).name);
    t.strictSame(names.slice(4), ["thrown string", "thrown object", "thrown undefined"]);
    t.notMatch(raw.join(""), CANARY);
  },
);

t.test("a chain of causes without an end is cut", async (t) => {
  const { log, raw } = capture();
  const error = new Error("round");
  error.cause = error;
  log.failure("broken", error);
  t.equal(raw.length, 1);
});

const read = (stream: Readable | null) => (stream === null ? "" : text(stream));

function logger(stdout: "pipe" | number, ...args: string[]) {
  const fixture = new URL("./fixtures/logger.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [RUNS_TYPESCRIPT, fixture, ...args], {
    stdio: ["ignore", stdout, "pipe"],
  });
  return { exited: once(child, "exit"), out: read(child.stdout), err: read(child.stderr) };
}

t.test("no line is lost when the process exits right after it", async (t) => {
  const { out, exited } = logger("pipe", "exit", "20000");
  const written = await out;
  t.strictSame(await exited, [0, null]);
  const lines = written.trimEnd().split("\n");
  t.equal(lines.length, 20_000);
  t.match(JSON.parse(lines.at(-1) ?? ""), { n: 19_999, msg: "line", worker_: undefined });
  t.equal((JSON.parse(lines[0] ?? "") as { worker: number }).worker, 3);
});

t.test("a full disk under the log ends nothing, and is complained about once", async (t) => {
  const full = openSync("/dev/full", "w");
  t.teardown(() => closeSync(full));
  const { err, exited } = logger(full, "full", "50");
  const complaint = await err;
  t.strictSame(await exited, [0, null]);
  const [first = "", ...others] = complaint.trimEnd().split("\n");
  t.match(JSON.parse(first), { msg: "the log cannot be written", error: { code: "ENOSPC" } });
  t.strictSame(others, ["still running"]);
});

t.test("a reader that goes away ends nothing, and is complained about once", async (t) => {
  const fixture = new URL("./fixtures/logger.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [RUNS_TYPESCRIPT, fixture, "full", "50000"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit");
  child.stdout.once("data", () => child.stdout.destroy());
  const [first = "", ...others] = (await text(child.stderr)).trimEnd().split("\n");
  t.strictSame(await exited, [0, null]);
  t.match(JSON.parse(first), { msg: "the log cannot be written", error: { code: "EPIPE" } });
  t.strictSame(others, ["still running"]);
});
