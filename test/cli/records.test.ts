/** `idempotency-gateway records`: a gateway's records from the command line, and what is told where it cannot be. */
import { execFile } from "node:child_process";
import { createServer as createHttpServer } from "node:http";
import { writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { progressOf } from "../../src/cli/progress.ts";
import { runRecords, type Terminal } from "../../src/cli/records.ts";
import { ago, linesOf, tableOf } from "../../src/cli/table.ts";
import { call } from "../support/client.ts";
import { damageRecord } from "../support/damage.ts";
import { configured, spawnGateway } from "../support/gateway-process.ts";
import { startGateway, tempDir } from "../support/gateway.ts";
import { startUpstream } from "../support/upstream.ts";
import { PRINTED } from "./printed.ts";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const TOKEN = "an-operators-token";

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
  terminal: Partial<Terminal> = {},
): Promise<Said> {
  let out = "";
  let err = "";
  const code = await runRecords(words, env, {
    out: async (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    watched: false,
    ask: undefined,
    input: () => Readable.from([]),
    ...terminal,
  });
  return { code, out, err };
}

/** A gateway before an upstream that answers `/v1/charges` and hangs up on everything below `/lost/`. */
async function setUp(t: Test) {
  const upstream = await startUpstream(t, {
    onHead: (req, res) => {
      if (req.url?.startsWith("/lost/")) req.socket.destroy();
      else res.writeHead(201).end("done");
    },
  });
  const dir = tempDir(t);
  const gateway = await startGateway(t, {
    upstream: { url: upstream.url },
    store: { url: `file:${dir}` },
    admin: { token: TOKEN },
    routes: [{ name: "lost", match: { methods: ["POST"], path: "/lost/*" } }],
  });
  const ask = async (path: string, key: string) => {
    const headers = { "Idempotency-Key": key };
    const answer = await call(gateway.url + path, { method: "POST", headers });
    return { status: answer.status, id: String(answer.header("idempotency-record")), answer };
  };
  const place = ["--admin", new URL(gateway.admin).host];
  const env = { IDEMPOTENCY_GATEWAY_ADMIN_TOKEN: TOKEN };
  const records = (words: readonly string[], terminal?: Partial<Terminal>) =>
    run([...words, ...place], env, terminal);
  return { upstream, gateway, ask, place, records, dir };
}

t.test("an unknown outcome is found, shown and resolved; then its retry executes", async (t) => {
  const { upstream, ask, records } = await setUp(t);
  const { id } = await ask("/lost/1", "a");
  await ask("/v1/charges", "b");
  t.equal(upstream.count(), 2);

  const listed = await records(["list", "--state", "unknown"]);
  t.match(listed, { code: 0, err: "" });
  const [head, line, end] = listed.out.split("\n");
  t.match(head, /^ID +STATE +ROUTE +METHOD +PATH +CREATED +MORE$/u);
  t.match(line, new RegExp(`^${id} +unknown +lost +POST +/lost/1 +\\d s ago +reset$`, "u"));
  t.equal(end, "");
  const shown = await records(["show", id]);
  t.match(shown, { code: 0, out: /^state +unknown$/mu });
  t.notMatch(shown.out, /replays/u, "of no answer");

  const unconfirmed = await records(["resolve", id, "not-executed"]);
  t.match(unconfirmed, { code: 1, err: /next request with its key will be sent[^]*--yes/u });
  const declined = await records(["resolve", id, "not-executed"], { ask: async () => "y" });
  t.match(declined, { code: 1, err: /Nothing was changed/u });
  t.equal((await ask("/lost/1", "a")).status, 409, "still unknown");
  t.equal(upstream.count(), 2);

  const confirmed = await records(["resolve", id, "not-executed"], { ask: async () => "yes\n" });
  t.match(confirmed, { code: 0, out: "resolved\n" });
  t.equal((await ask("/lost/1", "a")).status, 502);
  t.equal(upstream.count(), 3, "sent again");
  t.match(await records(["resolve", id, "executed", "--yes", "--json"]), {
    code: 0,
    out: `{"id":"${id}","outcome":"executed"}\n`,
  });
  t.equal((await ask("/lost/1", "a")).status, 409);
  t.equal(upstream.count(), 3, "nothing is sent");
});

/** A file with that in it. */
function fileWith(t: Test, text: string | Buffer): string {
  const file = join(tempDir(t), "answer.txt");
  writeFileSync(file, text, { encoding: "latin1" });
  return file;
}

t.test("each resolve is logged and counted, with an answer and without", async (t) => {
  const { upstream, gateway, ask, records } = await setUp(t);
  const [ran, answered, never] = [
    await ask("/lost/1", "a"),
    await ask("/lost/2", "b"),
    await ask("/lost/3", "c"),
  ];
  const file = fileWith(t, PRINTED);
  t.match(await records(["resolve", ran.id, "executed", "--yes"]), { code: 0, out: "resolved\n" });
  const words = ["resolve", answered.id, "executed", "--answer", file, "--json"];
  const confirmed = await records(words, { ask: async () => "yes" });
  t.match(confirmed, {
    code: 0,
    err: /^Nothing is sent, and retries will get 201 with a body of 18 bytes and the header fields content-type, Set-Cookie, set-cookie\.$/mu,
  });
  t.same(JSON.parse(confirmed.out), { id: answered.id, outcome: "executed", answer: { status: 201, bytes: 18 } }); // prettier-ignore
  t.match(await records(["resolve", never.id, "not-executed", "--yes"]), { code: 0 });
  t.match(await records([...words, "--yes"]), { code: 1, err: /nothing to resolve/u }, "once");

  t.match(await ask("/lost/1", "a"), { status: 409 });
  for (let tries = 0; tries < 2; tries += 1) {
    const { answer } = await ask("/lost/2", "b");
    t.equal(answer.status, 201);
    t.equal(answer.header("Idempotency-Status"), "replayed");
    t.equal(answer.body.toString(), '{"id":"ch_canary"}');
    t.equal(answer.header("Content-Type"), "application/json");
    t.same(answer.all("Set-Cookie"), ["a=1", "b=é"]);
    t.equal(answer.header("X-Hop"), undefined);
  }
  t.equal(upstream.count(), 3, "nothing was sent");

  const { body } = await call(`${gateway.admin}/metrics`);
  t.match(body.toString(), 'resolutions_total{outcome="executed"} 2\n');
  t.match(body.toString(), 'resolutions_total{outcome="not-executed"} 1\n');
  const lines = gateway.log.filter(({ msg }) => msg === "record changed by an operator");
  const line = { action: "resolve", outcome: "executed", remote: "127.0.0.1" };
  const given = { recordId: answered.id, givenStatus: 201, givenBytes: 18 };
  t.match(lines, [
    { ...line, recordId: ran.id, givenStatus: undefined, answer: "done" },
    { ...line, ...given, answer: "done" },
    { ...line, recordId: never.id, outcome: "not-executed", answer: "done" },
    { ...line, ...given, answer: "not-unknown" },
  ]);
  t.equal(lines.length, 4);
  t.notMatch(JSON.stringify(gateway.log), /canary/u);
});

t.test("an answer that cannot be read or recorded is told, and nothing is changed", async (t) => {
  const { upstream, gateway, ask, records } = await setUp(t);
  const { id } = await ask("/lost/1", "a");
  const resolve = (file: string) => records(["resolve", id, "executed", "--answer", file, "--yes"]);
  t.match(await resolve(join(tempDir(t), "none")), {
    code: 2,
    err: /none cannot be read \(ENOENT/u,
  });
  t.match(await resolve(fileWith(t, "hello")), { code: 2, err: /answer.txt: no empty line/u });
  const without = fileWith(t, "HTTP/1.1 404 Not Found\r\n\r\n");
  t.match(await records(["resolve", id, "executed", "--answer", without]), {
    code: 1,
    err: /get 404 with a body of 0 bytes and no header fields\. 404 is not 2xx, although you/u,
  });
  const busy = await resolve(fileWith(t, "HTTP/1.1 503 Busy\r\n\r\n"));
  t.match(busy, { code: 1, out: "", err: /cannot be recorded\. .*respond\.release/u });
  const ours = await resolve(fileWith(t, "HTTP/1.1 200 OK\nIdempotency-Status: executed\n\n"));
  t.match(ours, { code: 1, err: /not acceptable\. Header field 1 is idempotency-status/u });
  const long = `HTTP/1.1 200 OK\r\n\r\n${"a".repeat(4_000_000)}`;
  t.match(await resolve(fileWith(t, long)), { code: 1, err: /too large/u });
  t.equal((await ask("/lost/1", "a")).answer.header("Idempotency-Status"), "outcome-unknown");
  t.equal(upstream.count(), 1);
  t.match((await call(`${gateway.admin}/metrics`)).body.toString(), '{outcome="executed"} 0\n');
});

t.test("a decision is about what was shown", async (t) => {
  const { upstream, ask, records } = await setUp(t);
  const { id } = await ask("/lost/1", "a");
  const quicker = async () => {
    await records(["resolve", id, "not-executed", "--yes"]);
    return (await ask("/lost/1", "a")).status === 502 ? "yes" : "";
  };
  const late = await records(["resolve", id, "not-executed"], { ask: quicker });
  t.match([late, upstream.count()], [{ code: 1, err: /Since you looked/u }, 2]);
});

t.test("what is forgotten executes again; what is not there is told", async (t) => {
  const { upstream, ask, records } = await setUp(t);
  const { id } = await ask("/v1/charges", "a");
  t.match(await records(["show", id]), { out: /^replays +none that this gateway/mu });
  t.equal((await ask("/v1/charges", "a")).status, 201);
  t.match(await records(["show", id]), { out: /^replays +1 by \S+\/\d+, last 2\S+Z$/mu });
  t.match(await records(["forget", id, "--yes"]), { code: 0, out: "forgotten\n" });
  t.match(await records(["forget", id, "--yes"]), { code: 1, err: /no such record/u });
  t.match(await records(["show", id]), { code: 1, err: /no such record/u });
  await ask("/v1/charges", "a");
  t.equal(upstream.count(), 2);
  t.match(await records(["resolve", id, "executed", "--yes"]), {
    code: 1,
    err: /nothing to resolve/u,
  });
  t.equal(upstream.count(), 2);
});

t.test("lists end where they were told to, go by route, and are JSON for programs", async (t) => {
  const { upstream, ask, records } = await setUp(t);
  for (let n = 0; n < 5; n += 1) await ask("/v1/charges", `key-${n}`);
  await ask("/lost/1", "other");
  const some = await records(["list", "--limit", "2", "--json"]);
  t.equal(some.out.trimEnd().split("\n").length, 2);
  t.match(some.err, /first 2; --all/u);
  const all = await records(["list", "--all", "--json"]);
  const shown = all.out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { route: string });
  t.same([shown.length, all.err], [6, ""]);
  const lost = await records(["list", "--route", "lost"], { watched: true });
  t.equal(lost.out.split("\n").length, 3, "a heading and one record");
  t.match(lost.err, /6 records looked at, 1 found/u);
  t.match(await records(["list", "--route", "none"]), {
    code: 0,
    out: "",
    err: 'None of 6 records is of route "none".\n',
  });
  t.equal(upstream.count(), 6);
});

t.test("a long listing shows how far it is, where that can be known", async (t) => {
  const half = { looked: 500, found: 3, limit: Infinity, cursor: "8".padEnd(64, "0") };
  t.equal(progressOf(half), `[${"#".repeat(12)}${".".repeat(12)}] 500 records looked at, 3 found`);
  t.match(progressOf({ ...half, limit: 4 }), /^\[#{18}\.{6}\] /u, "three of four");
  t.match(progressOf({ ...half, cursor: undefined }), /^\[#{24}\] /u);
  const redis = { ...half, cursor: "0.1234." };
  t.equal(progressOf(redis), "500 records looked at, 3 found");
  t.match(progressOf({ ...redis, limit: 6 }), /^\[#{12}\.{12}\] /u);
});

t.test("a damaged record is told and hides no other", async (t) => {
  const { upstream, ask, records, dir } = await setUp(t);
  const { id } = await ask("/v1/charges", "damaged");
  await ask("/v1/charges", "sound");
  await damageRecord(dir, id);
  const listed = await records(["list", "--state", "completed", "--json"]);
  t.match(JSON.parse(listed.out), { state: "completed", status: 201 });
  t.equal(listed.err, `${id} is damaged and cannot be read; its key gets 502.\n`);
  t.equal((await ask("/v1/charges", "damaged")).status, 502);
  t.equal(upstream.count(), 2);
});

t.test("who may not, and where nobody answers", async (t) => {
  const { place, upstream } = await setUp(t);
  t.match(await run(["list", ...place]), { code: 1, err: /ADMIN_TOKEN/u });
  const wrong = { IDEMPOTENCY_GATEWAY_ADMIN_TOKEN: "another" };
  t.match(await run(["list", ...place], wrong), { code: 1, err: /another token/u });
  t.match(await run(["list", "--admin", "127.0.0.1:1"]), {
    code: 1,
    err: /No gateway answers at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\)/u,
  });
  const other = await run(["list", "--admin", new URL(upstream.url).host]);
  t.match(other, { code: 1, err: /201 and no gateway's/u });
});

t.test("a command line that is not understood is told, and nothing is asked", async (t) => {
  const id = "0".repeat(64);
  for (const [words, problem] of [
    [[], /say which of list/u],
    [["lst"], /none of list/u],
    [["\u001b[31m"], /"\?\[31m" is none of/u],
    [["list", "--state", "lost"], /in-flight, completed, unknown/u],
    [["list", "--limit", "1e3"], /whole number from 1/u],
    [["list", "--yes"], /list takes no --yes/u],
    [["show", id, "--state", "unknown"], /show takes no --state/u],
    [["show", "abc"], /64 lower-case hex digits/u],
    [["resolve", id], /executed or not-executed/u],
    [["resolve", id, "perhaps"], /executed or not-executed/u],
    [["resolve", id, "not-executed", "--answer", "x"], /goes with executed/u],
    [["resolve", id, "executed", "--answer", "-"], /standard input.*--yes/u],
    [["forget", id, "--answer", "x"], /forget takes no --answer/u],
    [["show", id, "x"], /id alone/u],
    [["forget", id, "x", "y"], /one word too many/u],
    [["list", id], /flags alone/u],
    [["list", "--limit", "0"], /whole number from 1/u],
    [["list", "--nothing"], /--nothing/u],
    [["list", "--admin", "nowhere"], /HOST:PORT/u],
  ] as const) {
    t.match(await run(words), { code: 2, out: "", err: problem }, words.join(" "));
  }
  t.match(await run(["--help"]), { code: 0, out: /^Usage: idempotency-gateway records/u });
});

t.test("nothing that came with a request is obeyed by a terminal", async (t) => {
  const path = "/\u001b[2J\u009b31m\u202e";
  const record = { id: "1", state: "completed", route: "r", method: "POST", path, status: 201 };
  const table = tableOf([{ ...record, createdAt: "2026-01-01T00:00:00Z" }], Date.UTC(2026, 0, 2));
  t.match(table, "/?[2J?31m?");
  t.notMatch(table, /[^\n\x20-\x7e]/u);
  t.same([0, 119_000, 120_000, 7_200_000, 172_800_000].map(ago), [
    "0 s ago",
    "119 s ago",
    "2 min ago",
    "2 h ago",
    "2 d ago",
  ]);
});

t.test("that a process did not say what it has replayed is said in words", (t) => {
  const record = {
    id: "1",
    state: "completed",
    route: "r",
    method: "POST",
    path: "/",
    createdAt: "",
  };
  const lines = (replays: readonly object[], silentProcesses: unknown) =>
    linesOf({ ...record, replays, silentProcesses })
      .split("\n")
      .slice(-3, -1);
  t.match(lines([], 1), [
    /^replays +none that those of this gateway's processes know of that answered$/u,
    /^silentProcesses +1; what it has replayed is not told here$/u,
  ]);
  t.match(lines([{ by: "vm/1", count: 2, last: "then" }], 2), [
    /^replays +2 by vm\/1, last then$/u,
    /^silentProcesses +2; what they have replayed is not told here$/u,
  ]);
  t.match(lines([], "\u001b[2J"), [/that answered$/u, /^silentProcesses +\?\[2J$/u]);
  t.end();
});

t.test("an answer that no gateway gives is not believed, and not obeyed", async (t) => {
  const id = "0".repeat(64);
  const record = { id, state: "unknown", route: "r", method: "POST", path: "/", createdAt: "" };
  let reply = "";
  const other = createServer((socket) => {
    socket.once("data", () => socket.end(reply));
    socket.on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  t.teardown(() => other.close());
  const place = ["--admin", `127.0.0.1:${(other.address() as AddressInfo).port}`];
  const says = (status: string, body: unknown): void => {
    const text = JSON.stringify(body);
    reply = `HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
  };
  const believed = /no gateway's|No gateway answers/u;
  for (const [words, status, body] of [
    [["resolve", id, "executed", "--yes"], "200 OK", { hello: 1 }],
    [["resolve", id, "executed", "--yes"], "200 OK", { id, outcome: "not-executed" }],
    [["resolve", id, "executed", "--yes"], "204 No Content", ""],
    [["forget", id, "--yes"], "200 OK", {}],
    [["show", id], "200 OK", { ...record, id: "1".repeat(64) }],
    [["show", id], "200 OK", null],
    [["show", id], "101 Switching Protocols", ""],
    [["list"], "200 OK", { records: {} }],
    [["list"], "200 OK", { records: [{ id }] }],
    [["list"], "200 OK", { records: [], cursor: { a: 1 } }],
    [["list"], "200 OK", []],
  ] as const) {
    says(status, body);
    const { code, out, err } = await run([...words, ...place]);
    t.same([code, out], [1, ""], `${words.join(" ")}: ${status}`);
    t.match(err, believed);
  }
  says("200 OK", { records: [], cursor: "x" });
  t.match(await run(["list", ...place]), { code: 1, err: /in a circle/u });
  says("500 Broken", { title: "\u001b[2J", detail: "\r\u009b" });
  t.match(await run(["list", ...place]), { code: 1, err: "?[2J. ??\n" });
  says("200 OK", { ...record, "\u001b[31m": "\u202e" });
  t.match(await run(["show", id, ...place]), { code: 0, out: /^\?\[31m +\?$/mu });
  t.match(await run(["show", id, "--json", ...place]), { out: /"\\u001b\[31m":"\\u202e"/u });
});

t.test(
  "a reader that takes its time gets all of it; one that goes away, what it wanted",
  async (t) => {
    const records = Array.from({ length: 1000 }, (_, n) => {
      const id = n.toString(16).padStart(64, "0");
      return {
        id,
        state: "unknown",
        route: "r",
        method: "POST",
        path: "/p".repeat(50),
        createdAt: "",
      };
    });
    const other = createHttpServer((_, res) => res.end(JSON.stringify({ records })));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    t.teardown(() => other.close());
    const { port } = other.address() as AddressInfo;
    const command = (reader: string): Promise<{ stdout: string }> => {
      const program = `${process.execPath} ${MAIN} records list --all --json --admin 127.0.0.1:${port}`;
      return promisify(execFile)("bash", ["-o", "pipefail", "-c", `${program} ${reader}`]);
    };
    // It does not read before it is asked for what it got, which is more than a pipe holds.
    t.equal((await command("| (read -r line; sleep 0.5; wc -l)")).stdout.trim(), "999");
    t.equal((await command("| head -1")).stdout.split("\n").length, 2);
    await t.rejects(command("> /dev/full"), { code: 1 });
  },
);

t.test("the built program does it, with the address of a configuration", async (t) => {
  const { upstream, ask, place } = await setUp(t);
  const { id } = await ask("/v1/charges", "a");
  const [, address = ""] = place;
  const [host, port] = address.split(":");
  const admin = { host, port: Number(port), token: TOKEN };
  const config = configured(t, { upstream: { url: upstream.url }, admin });
  const program = spawnGateway(t, ["records", "show", id, "--json", ...config]);
  t.equal(await program.ended, 0);
  t.match(JSON.parse(program.stdout.join("")), { id, state: "completed", status: 201 });
  const lost = await ask("/lost/1", "b");
  const piped = `printf 'HTTP/1.1 201 Created\\r\\n\\r\\n\\0 done' | ${process.execPath} ${MAIN} records resolve ${lost.id} executed --answer - --yes ${config.join(" ")}`;
  t.equal((await promisify(execFile)("bash", ["-c", piped])).stdout, "resolved\n");
  t.equal((await ask("/lost/1", "b")).answer.body.toString(), "\0 done");
  t.equal(upstream.count(), 2);
});
