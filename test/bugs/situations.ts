/**
 * The situations of the wire hunt: what a simulation without sockets, without LMDB and without Lua cannot bring about.
 * Each is provoked once, in a set order of events, and ends when its last client has its answer.
 */
import assert from "node:assert/strict";
import type http from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { writeAnswer } from "../support/upstream.ts";
import { DROPPED, type Behaviour, type Given, type Stage } from "./stage.ts";

/** 201 with what tells this execution from all others: repeated fields, a byte that is no ASCII, a body. */
const answers: Behaviour = (res, n) =>
  give(res, {
    status: 201,
    headers: [
      ...["Content-Type", "text/plain", "Location", `/things/${n}`],
      ...["Set-Cookie", `a=${n}`, "Set-Cookie", "b=\u00e9", "X-Many", "1", "X-Many", "2"],
    ],
    body: `execution ${n}`,
  });

const busy: Behaviour = (res, n) =>
  give(res, { status: 503, headers: ["X-Execution", String(n)], body: `busy ${n}` });

/** More than is recorded; without a length, so that nobody knows it beforehand. */
const long: Behaviour = (res, n) => {
  const body = `execution ${n} `.repeat(20_000);
  res.writeHead(201, ["Content-Type", "text/plain", "Transfer-Encoding", "chunked"]);
  res.end(body);
  return { status: 201, headers: ["Content-Type", "text/plain"], body };
};

/** It has executed, and its process dies. */
const resets: Behaviour = (res) => {
  socketOf(res).resetAndDestroy();
  return undefined;
};

/** It has come to whoever stands in front, and no further. */
const drops: Behaviour = (res) => {
  socketOf(res).resetAndDestroy();
  return DROPPED;
};

/** Longer than the hasty gateway waits; it has executed all the same. */
const silent: Behaviour = () => undefined;

/** The answer begins, and the connection is closed in the middle of it. */
function cut(...headers: readonly string[]): Behaviour {
  return async (res, n) => {
    res.writeHead(201, ["X-Execution", String(n), ...headers]);
    await new Promise((written) => res.write("exec", written));
    socketOf(res).destroy();
    return undefined;
  };
}

/** The answer would end with the connection, and the connection is reset. */
const resetInAnswer: Behaviour = async (res, n) => {
  const socket = socketOf(res);
  const head = `HTTP/1.1 201 Created\r\nX-Execution: ${n}\r\nConnection: close\r\n\r\nexec`;
  await new Promise((written) => socket.write(head, written));
  // Not before the gateway has read it: a reset takes with it what is still on its way.
  await pause(50);
  socket.resetAndDestroy();
  return undefined;
};

function give(res: http.ServerResponse, given: Given): Given {
  writeAnswer(res, given);
  return given;
}

function socketOf(res: http.ServerResponse) {
  assert.ok(res.socket !== null, "the answer has a connection");
  return res.socket;
}

/** Resolves the returned promise by the returned function. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((go) => {
    open = go;
  });
  return { opened, open };
}

function behind(opened: Promise<void>, behaviour: Behaviour): Behaviour {
  return async (res, n) => {
    await opened;
    return behaviour(res, n);
  };
}

type Situation = (stage: Stage) => Promise<void>;

/** Twenty clients at once, at all gateways; later ones get the same answer. */
const race: Situation = async (stage) => {
  const plot = stage.plot("race", true, answers);
  const ask = (by: number) => stage.ask(plot, { key: "race", by });
  await Promise.all(Array.from({ length: 20 }, (_, n) => ask(n % 2)));
  await ask(1);
  await ask(0);
};

/** Another body under a key that is in flight, is recorded, is unknown. */
const reuse: Situation = async (stage) => {
  const { opened, open } = gate();
  const plot = stage.plot("reuse", true, behind(opened, answers));
  const first = stage.ask(plot, { key: "reuse" });
  await stage.arrived(plot, 1);
  await stage.ask(plot, { key: "reuse", body: "amount=200", by: 1 });
  open();
  await first;
  await stage.ask(plot, { key: "reuse", body: "amount=200", by: 1 });
  const broken = stage.plot("reuse-unknown", false, resets, answers);
  await stage.ask(broken, { key: "reuse-unknown", method: "PUT" });
  await stage.ask(broken, { key: "reuse-unknown", method: "PUT", body: "amount=200" });
  await stage.ask(broken, { key: "reuse-unknown", method: "PUT" });
};

/** The same but for the query is another request. */
const query: Situation = async (stage) => {
  const plot = stage.plot("query", true, answers);
  await stage.ask(plot, { key: "query", query: "amount=1" });
  await stage.ask(plot, { key: "query", query: "amount=2", by: 1 });
  await stage.ask(plot, { key: "query", query: "amount=1", by: 1 });
};

/** One execution that comes to `behaviour`, and two retries of it, at either gateway. */
function retried(title: string, behaviour: Behaviour, by?: number): Situation {
  return async (stage) => {
    const plot = stage.plot(title, false, behaviour, answers);
    await stage.ask(plot, { key: title, ...(by !== undefined && { by }) });
    await stage.ask(plot, { key: title, by: 1 });
    await stage.ask(plot, { key: title, by: 0 });
  };
}

/** A resend that was not processed: the earlier send is not forgotten with it, and fences rise. */
const fences: Situation = async (stage) => {
  const plot = stage.plot("fences", false, resets, busy, answers);
  for (let n = 0; n < 4; n += 1) await stage.ask(plot, { key: "fences", method: "PUT" });
};

/** Not processed: the key is free, and the next one executes. */
const released: Situation = async (stage) => {
  const plot = stage.plot("released", true, busy, answers);
  for (let n = 0; n < 3; n += 1) await stage.ask(plot, { key: "released" });
};

/** A gateway that was stopped with the answer in its hand, and comes back while another one is at it. */
const late: Situation = async (stage) => {
  const { opened, open } = gate();
  const plot = stage.plot("late", false, answers, behind(opened, answers));
  const stopped = stage.outlive("late");
  const ask = (by: number) => stage.ask(plot, { key: "late", method: "PUT", by });
  const first = ask(0);
  await stage.arrived(plot, 1);
  const second = untilSettled(() => ask(1));
  await Promise.race([stage.arrived(plot, 2), second]);
  stopped.resume();
  await first;
  open();
  await second;
  await ask(0);
};

/** A gateway that was stopped before it could say that nobody knows, and comes back when another one has the answer. */
const lateUnknown: Situation = async (stage) => {
  const plot = stage.plot("late-unknown", false, resets, answers);
  const stopped = stage.outlive("late-unknown");
  const ask = (by: number) => stage.ask(plot, { key: "late-unknown", method: "PUT", by });
  const first = ask(0);
  await stage.arrived(plot, 1);
  await untilSettled(() => ask(1));
  stopped.resume();
  await first;
  await ask(0);
};

/** Nothing is done for the first one; while a gateway is slow to hear so, another one hears it, and sends. */
const overtaken: Situation = async (stage) => {
  const { opened, open } = gate();
  const asked = gate();
  const plot = stage.plot("probed", false, drops, resets, answers);
  const ask = (by: number) => stage.ask(plot, { key: "probed", by });
  stage.tells("probed", async (n) => {
    asked.open();
    if (n === 1) await opened;
    return n <= 2 ? 404 : 500;
  });
  await ask(0);
  const slow = ask(0);
  await Promise.race([asked.opened, slow]);
  await ask(1);
  open();
  await slow;
  await ask(1);
};

/** A lease of a millisecond is over at once; where it is not, it never will be. */
async function untilSettled(ask: () => ReturnType<Stage["ask"]>): Promise<void> {
  for (let tries = 1; tries <= 50; tries += 1) {
    if ((await ask())?.header("idempotency-status") !== "in-flight") return;
    await pause(5);
  }
}

export const SITUATIONS: readonly Situation[] = [
  race,
  reuse,
  query,
  retried("reset", resets),
  retried("reset-in-answer", resetInAnswer),
  retried("cut-length", cut("Content-Length", "100")),
  retried("cut-chunks", cut("Transfer-Encoding", "chunked")),
  retried("long", long),
  // The hasty gateway is the last one.
  retried("silent", silent, -1),
  fences,
  released,
  late,
  lateUnknown,
  overtaken,
];
