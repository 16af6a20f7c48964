/**
 * A Sentinel that tells of a failover just while the store asks it for the primary. Sentinel here is a few words of the
 * protocol, because a real one cannot be made to say that at that moment; the primary is a real redis-server.
 */
import { createServer, type Socket } from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import t from "tap";
import type { Test } from "tap";
import { createRedisStore } from "../../src/store/redis.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { claimOf } from "./contract-values.ts";

const bulk = (...words: readonly string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;

const COMMAND = /\*\d+\r\n((?:\$\d+\r\n[^\r]*\r\n)+)/gu;

/** Names `primaryPort`, unless it holds its answers back; tells its subscribers what it is told to. */
async function startTalker(t: Test, primaryPort: number) {
  const sockets = new Set<Socket>();
  const subscribers = new Set<Socket>();
  let holding = false;
  let asked: () => void = () => undefined;
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => socket.destroy()));
    socket.on("data", (data) => {
      for (const [, words = ""] of data.toString().toLowerCase().matchAll(COMMAND)) {
        if (words.includes("subscribe")) {
          subscribers.add(socket);
          socket.write("*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n");
        } else if (words.includes("get-master-addr-by-name")) {
          asked();
          if (!holding) socket.write(bulk("127.0.0.1", String(primaryPort)));
        } else {
          socket.write(words.includes("sentinels") ? "*0\r\n" : "+OK\r\n");
        }
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    subscribers,
    hold(is: boolean): Promise<void> {
      holding = is;
      return new Promise((resolve) => {
        asked = resolve;
      });
    },
    tell(): void {
      const address = `records 127.0.0.1 1 127.0.0.1 ${primaryPort}`;
      for (const socket of subscribers) socket.write(bulk("message", "+switch-master", address));
    },
  };
}

t.test(
  "a failover that is told while the primary is asked for: the store comes back",
  async (t) => {
    const redis = await startRedis(t);
    const sentinel = await startTalker(t, redis.port);
    const store = createRedisStore({
      url: `redis+sentinel://127.0.0.1:${sentinel.port}/records/0`,
      timeoutMs: 1000,
      keyPrefix: "s:",
    });
    t.teardown(() => store.close());
    const healthy = (): Promise<void> => until(async () => (await store.problems()).length === 0);
    await healthy();
    await until(async () => sentinel.subscribers.size > 0);
    const asked = sentinel.hold(true);
    await redis.cli("CLIENT", "KILL", "TYPE", "normal");
    await asked;
    sentinel.tell();
    // Only what comes after that word may be answered.
    await until(async () => (await store.problems()).length > 0);
    await sentinel.hold(true);
    void sentinel.hold(false);
    await healthy();
    t.match(await store.claim(claimOf()), { kind: "granted" });
  },
);
