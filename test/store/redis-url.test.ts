import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { codeWord } from "../../src/store/redis-errors.ts";
import { parseRedisUrl } from "../../src/store/redis-url.ts";

const plain = { username: undefined, password: undefined, db: 0, tls: undefined };
const at = (host: string, port: number): { host: string; port: number } => ({ host, port });

t.test("every form of URL is read", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "ca-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const ca = join(dir, "ca.pem");
  writeFileSync(ca, "PEM");
  const forms: Record<string, unknown> = {
    "redis://h": { ...plain, where: { kind: "server", node: at("h", 6379) } },
    "redis://h/": { ...plain, where: { kind: "server", node: at("h", 6379) } },
    "redis://:p%40%2F@[::1]:7/5": {
      ...plain,
      password: "p@/",
      db: 5,
      where: { kind: "server", node: at("::1", 7) },
    },
    [`rediss://u:p@h:7?ca=${ca}`]: {
      ...plain,
      username: "u",
      password: "p",
      tls: { ca: "PEM" },
      where: { kind: "server", node: at("h", 7) },
    },
    "redis+unix:///run/redis%20x/s?db=2": {
      ...plain,
      db: 2,
      where: { kind: "socket", path: "/run/redis x/s" },
    },
    "redis+unix://u:p@/s": {
      ...plain,
      username: "u",
      password: "p",
      where: { kind: "socket", path: "/s" },
    },
    "rediss+sentinel://u:p@a:1,b/main/3?sentinelPassword=s%26&sentinelUser=w": {
      username: "u",
      password: "p",
      db: 3,
      tls: { ca: undefined },
      where: {
        kind: "sentinel",
        nodes: [at("a", 1), at("b", 26_379)],
        master: "main",
        username: "w",
        password: "s&",
      },
    },
    "redis+cluster://a:1,b:2,[::1]:3": {
      ...plain,
      where: { kind: "cluster", nodes: [at("a", 1), at("b", 2), at("::1", 3)] },
    },
  };
  for (const [url, target] of Object.entries(forms)) t.same(parseRedisUrl(url), target, url);
});

t.test("what cannot be used is refused, and no secret is quoted", async (t) => {
  const refused: Record<string, RegExp> = {
    canary: /form scheme/u,
    "http://u:canary@h": /the scheme is none of redis, rediss/u,
    "redis://u:canary@": /a host is missing/u,
    "redis://u:canary@h:0": /port/u,
    "redis://u:canary@h:99999": /port/u,
    "redis://u:canary@h:1:2": /host:port/u,
    "redis://u:canary@h/x": /database is not a number/u,
    "redis://u:canary@h/1/2": /only a database number/u,
    "redis://u:canary@a,b": /several hosts need/u,
    "redis://u:canary%@h": /percent-encoded/u,
    "redis://u:canary@h?password=canary": /takes no query parameters/u,
    "rediss://u:canary@h?ca=/no/such/file": /\/no\/such\/file.*ENOENT/u,
    "rediss://u:canary@h?ca=a&ca=b": /once each: ca/u,
    "redis://u:canary@h#x": /form scheme/u,
    "redis+unix://u:canary@": /path of the socket/u,
    "redis+unix://u:canary@h/s": /path of the socket/u,
    "redis+sentinel://u:canary@h": /master's name/u,
    "redis+sentinel://u:canary@h/m/0/x": /master's name/u,
    "redis+cluster://u:canary@h/1": /database 0 only/u,
  };
  for (const [url, message] of Object.entries(refused)) {
    t.throws(() => parseRedisUrl(url), message, url);
    try {
      parseRedisUrl(url);
    } catch (error) {
      t.notMatch(error instanceof Error && error.message, /canary/u, url);
    }
  }
});

t.test("a failure is told by a code word from a list, or not at all", async (t) => {
  const coded = (code: string): Error => Object.assign(new Error("canary"), { code });
  t.equal(codeWord(new Error("OOM command not allowed")), "OOM");
  t.equal(codeWord(new Error("CANARY and more")), "UNKNOWN");
  t.equal(codeWord(new Error("Command timed out")), "TIMEOUT");
  t.equal(codeWord(new Error("Connection is closed.")), "DISCONNECTED");
  t.equal(codeWord(coded("ECONNRESET")), "ECONNRESET");
  t.equal(codeWord(coded("a canary")), "UNKNOWN");
  t.equal(codeWord("canary"), "UNKNOWN");
});
