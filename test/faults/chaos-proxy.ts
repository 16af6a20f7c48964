/**
 * Stands between a gateway and its Redis, sees every command and its reply, and lets exactly one of them go wrong in
 * the way it is told. It neither knows records nor gateways; which command is which it knows by the scripts' first
 * lines.
 */
import { createHash } from "node:crypto";
import net from "node:net";
import type { AddressInfo } from "node:net";
import type { Teardown } from "../support/teardown.ts";
import { partsOf, RespReader } from "./resp.ts";

/** What can become of one call. Those that are not executed are answered by the proxy, or by nobody. */
export const FAULTS = [
  "error",
  "oom",
  "readonly",
  "loading",
  /** Executed; the reply never comes, and the connection lives on. */
  "reply-lost",
  /** Never executed, never answered, and the connection lives on. */
  "swallowed",
  /** Held past the time-out and then executed, also where nobody is connected any more. */
  "late",
  "reset-before",
  /** Executed, and the connection is reset in place of the reply. */
  "reset-after",
] as const;
/** `reply-twice` is no fault of Redis or of a network; it is how answers come to be shifted at once. */
export type Fault = (typeof FAULTS)[number] | "reply-twice";

const REPLIES: Partial<Record<Fault, string>> = {
  error: "-ERR chaos\r\n",
  oom: "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
  readonly: "-READONLY You can't write against a read only replica.\r\n",
  loading: "-LOADING Redis is loading the dataset in memory\r\n",
};

export interface Plan {
  /** The n-th call that counts, from 1. */
  readonly call: number;
  readonly fault: Fault;
  /** How long `late` holds the call back. */
  readonly lateMs?: number;
}

export interface ChaosProxy {
  readonly port: number;
  /** The names of the calls that counted so far, in order. */
  readonly calls: readonly string[];
  /** From now on calls count, and the plan's one goes wrong. `undefined`: all goes well. */
  arm(plan: Plan | undefined): void;
  /** Resolves when the planned call has come, and if it is late, when it has been executed. */
  readonly struck: Promise<void>;
  /** Replies that Redis gave to scripts, delivered or not. */
  onReply(listener: (name: string, key: string, reply: readonly Buffer[]) => void): void;
}

interface Call {
  readonly name: string;
  readonly key: string;
  /** `undefined`: nothing is told to the client. */
  deliver: ((reply: Buffer) => void) | undefined;
}

/** How a message of a subscription begins. */
const MESSAGE = "*3\r\n$7\r\nmessage\r\n";

/** SHA-1 of a script to its name. */
const scripts = new Map<string, string>();

/** `port`: of the Redis behind it. */
export async function startChaosProxy(t: Teardown, port: number): Promise<ChaosProxy> {
  const calls: string[] = [];
  const sockets = new Set<net.Socket>();
  const listeners: ((name: string, key: string, reply: readonly Buffer[]) => void)[] = [];
  const timers = new Set<NodeJS.Timeout>();
  let armed = false;
  let plan: Plan | undefined;
  let struck: () => void = () => undefined;
  const whenStruck = new Promise<void>((resolve) => (struck = resolve));

  const server = net.createServer((client) => {
    const redis = net.connect(port, "127.0.0.1");
    const open: Call[] = [];
    const commands = new RespReader();
    const replies = new RespReader();
    /** What waits behind a call that is late. */
    let held: (() => void)[] | undefined;
    /** A call that is late has not been answered by Redis yet. */
    let owing = false;

    const cut = (): void => {
      client.resetAndDestroy();
      redis.destroy();
    };
    for (const socket of [client, redis]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => sockets.delete(socket));
    }
    redis.on("close", () => client.destroy());
    client.on("close", () => {
      // What is late is executed all the same: it had left the gateway.
      if (!owing) redis.destroy();
    });

    client.on("data", (bytes: Buffer) => {
      for (const command of commands.push(bytes)) {
        const [name, key] = nameOf(command);
        const fault = faultOf(name);
        const go = (): void => take(command, { name, key, deliver: tell }, fault);
        if (held === undefined) go();
        else held.push(go);
      }
    });
    const tell = (reply: Buffer): void => void client.write(reply);

    /** Counted when it comes, not when it is sent on. */
    function faultOf(name: string): Fault | undefined {
      if (!armed) return undefined;
      calls.push(name);
      return plan?.call === calls.length ? plan.fault : undefined;
    }

    function take(command: Buffer, call: Call, fault: Fault | undefined): void {
      switch (fault) {
        case undefined:
          return send(command, call);
        case "error":
        case "oom":
        case "readonly":
        case "loading":
          struck();
          return answer(Buffer.from(REPLIES[fault] ?? ""));
        case "reply-lost":
          struck();
          return send(command, { ...call, deliver: undefined });
        case "reply-twice":
          struck();
          return send(command, { ...call, deliver: (reply) => (tell(reply), tell(reply)) });
        case "swallowed":
          return struck();
        case "reset-before":
          struck();
          return cut();
        case "reset-after":
          struck();
          return send(command, { ...call, deliver: cut });
        case "late":
          return hold(command, call);
      }
    }

    /** In its turn: what was asked before is answered before. */
    function answer(reply: Buffer): void {
      const before = open.at(-1);
      if (before === undefined) return tell(reply);
      const { deliver } = before;
      before.deliver = (own) => {
        deliver?.(own);
        tell(reply);
      };
    }

    function send(command: Buffer, call: Call): void {
      open.push(call);
      redis.write(command);
    }

    function hold(command: Buffer, call: Call): void {
      held = [];
      owing = true;
      const timer = setTimeout(() => {
        timers.delete(timer);
        const waiting = held ?? [];
        held = undefined;
        send(command, {
          ...call,
          deliver: (reply) => {
            owing = false;
            struck();
            tell(reply);
            if (client.destroyed) redis.destroy();
          },
        });
        for (const go of waiting) go();
      }, plan?.lateMs ?? 0);
      timers.add(timer);
    }

    redis.on("data", (bytes: Buffer) => {
      for (const reply of replies.push(bytes)) {
        // What Redis says unasked goes to the client as it is.
        const call = reply.includes(MESSAGE) ? undefined : open.shift();
        if (call === undefined) {
          tell(reply);
          continue;
        }
        if (reply[0] === 0x2a)
          for (const hear of listeners) hear(call.name, call.key, partsOf(reply));
        call.deliver?.(reply);
      }
    });
  });
  await new Promise<void>((listening) => void server.listen(0, "127.0.0.1", listening));
  t.teardown(async () => {
    for (const timer of timers) clearTimeout(timer);
    for (const socket of sockets) socket.destroy();
    await new Promise((closed) => server.close(closed));
  });
  return {
    port: (server.address() as AddressInfo).port,
    calls,
    arm(next) {
      armed = true;
      plan = next;
      if (next === undefined) struck();
    },
    struck: whenStruck,
    onReply: (listener) => void listeners.push(listener),
  };
}

/** `claim`, `complete`, `subscribe`, …; and the key of a script. */
function nameOf(command: Buffer): readonly [name: string, key: string] {
  const [word, second, , key] = partsOf(command);
  const verb = word?.toString("latin1").toLowerCase() ?? "";
  if (verb !== "eval" && verb !== "evalsha") return [verb, ""];
  const text = second?.toString("latin1") ?? "";
  if (verb === "eval") scripts.set(createHash("sha1").update(text).digest("hex"), titleOf(text));
  const digest = verb === "evalsha" ? text : createHash("sha1").update(text).digest("hex");
  return [scripts.get(digest) ?? verb, key?.toString("latin1") ?? ""];
}

/** What a script is for, by what only it says. */
function titleOf(lua: string): string {
  const purpose = /^-- Purpose: +(.*)$/mu.exec(lua)?.[1];
  if (purpose !== undefined)
    return TITLES.find(([start]) => purpose.startsWith(start))?.[1] ?? "script";
  return lua.includes('"del"') ? "unlock" : "lock";
}

const TITLES: readonly (readonly [purpose: string, name: string])[] = [
  ["takes an absent key", "claim"],
  ["records the owner's answer with its body", "complete"],
  ["records the owner's answer without", "complete-bare"],
  ["gives a claim back", "release"],
  ["the owner says that nobody can know", "mark-unknown"],
  ["reads a record", "inspect"],
  ["a probe has found out", "settle-unknown"],
  ["tells whether a record stands", "standing"],
  ["enters a record on the roll", "enter-roll"],
  ["takes a record off the roll", "strike-roll"],
  ["reads what is remembered", "read-cell"],
  ["writes or removes what is remembered", "write-cell"],
];
