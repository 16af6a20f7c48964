/**
 * A canary in everything that a caller, an upstream or an operator may keep to itself: it must be in no log line,
 * metric, problem, readiness reason, operators' answer or other output of the built gateway. Left out are the
 * upstream's own answers, which belong to their caller, and the caller's own `Idempotency-Key`, told back.
 */
import { readFileSync } from "node:fs";
import root, { type Test } from "tap";
import { newCanary, type Canary } from "../support/canary.ts";
import {
  configured,
  startGatewayProcess,
  type GatewayProcess,
} from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { call } from "../support/client.ts";
import { freePort } from "../support/free-port.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { startUpstream, writeAnswer, type TestUpstream } from "../support/upstream.ts";
import { wire, type WireAnswer } from "../support/wire.ts";

const GATEWAYS_OWN = /^(?:idempotency-(?!key$)|idempotent-|retry-after$|x-should-retry$)/i;

/** Keeps of an answer whatever the gateway itself says. */
function keepAnswer(canary: Canary, where: string, answer: WireAnswer): void {
  const type = answer.all("Content-Type").join();
  const ours =
    type === "application/problem+json" && answer.body.includes("urn:idempotency-gateway");
  const pairs = answer.pairs.filter(([name]) =>
    ours ? name.toLowerCase() !== "idempotency-key" : GATEWAYS_OWN.test(name),
  );
  const body = ours ? answer.body.toString("latin1") : "";
  canary.keep(where, `${answer.statusLine}\n${pairs.join("\n")}\n${body}`);
}

/** What misbehaves does so by the path; everything it says carries the canary. */
async function startSecretive(t: Test, canary: Canary): Promise<TestUpstream> {
  const said = canary.at("response");
  const upstream = await startUpstream(t, {
    port: await freePort(),
    onUpgrade: (req, socket) => {
      socket.on("error", () => socket.destroy());
      if (req.url?.startsWith("/refuses") === true) {
        socket.end(`HTTP/1.1 403 ${said}\r\nX-Why: ${said}\r\nContent-Length: 2\r\n\r\nno`);
      } else if (req.url?.startsWith("/malformed") === true) socket.end(`HTTP/9 ${said}\r\n\r\n`);
      else socket.destroy();
    },
  });
  const headers = ["Set-Cookie", `s=${said}`, "ETag", `"${said}"`, "X-Note", said];
  upstream.respond((seen, req, res) => {
    const kind = /^\/([a-z]+)/.exec(seen.url)?.[1];
    if (kind === "resets") return void req.socket.resetAndDestroy();
    if (kind === "never") return;
    if (kind === "malformed")
      return void req.socket.end(`HTTP/1.1 2oo ${said}\r\nX: ${said}\r\n\r\n`);
    if (kind === "forged") return void req.socket.end(`HTTP/1.1 200 OK\r\nX-\0: ${said}\r\n\r\n`);
    if (kind === "truncated") {
      res.writeHead(200, [...headers, "Content-Length", "1000"]);
      return void res.write(said, () => req.socket.resetAndDestroy());
    }
    const statuses: Record<string, number> = { gateway: 502, later: 429, broken: 500 };
    writeAnswer(res, { status: statuses[kind ?? ""] ?? 201, headers, body: said });
  });
  return upstream;
}

interface Step {
  readonly name: string;
  readonly bytes: string;
  readonly status: number;
  /** How often the upstream is called by it. */
  readonly calls: 0 | 1;
}

/** A request that carries the canary wherever it can, outside the path, which is logged. */
function secretly(canary: Canary, line: string, fields: readonly string[], body = ""): string {
  const [method = "", path = ""] = line.split(" ");
  const lines = [
    `${method} ${path}${path.includes("?") ? "&" : "?"}token=${canary.at("query")} HTTP/1.1`,
    "Host: a",
    `Authorization: Bearer ${canary.at("authorization")}`,
    `X-Api-Key: ${canary.at("api-key")}`,
    `Cookie: session=${canary.at("cookie")}`,
    `X-Note: ${canary.at("header")}`,
    `Content-Type: application/json; note=${canary.at("type")}`,
    "Connection: close",
    `Content-Length: ${body.length}`,
    ...fields,
  ];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

function guardedSteps(canary: Canary): readonly Step[] {
  const key = (name: string) => [`Idempotency-Key: ${canary.at(name)}`];
  const body = JSON.stringify({ card: canary.at("body") });
  const other = JSON.stringify({ card: canary.at("other-body") });
  const post = (path: string, name: string, sent = body): string =>
    secretly(canary, `POST ${path}`, key(name), sent);
  const invalid = (name: string, field: string): Step => ({
    name,
    bytes: secretly(canary, "POST /ok", [field], body),
    status: 400,
    calls: 0,
  });
  const bad = canary.at("key");
  return [
    { name: "executed", bytes: post("/ok", "k1"), status: 201, calls: 1 },
    { name: "replayed", bytes: post("/ok", "k1"), status: 201, calls: 0 },
    { name: "reused", bytes: post("/ok", "k1", other), status: 409, calls: 0 },
    { name: "reused on another path", bytes: post("/ok/2", "k1"), status: 409, calls: 0 },
    { name: "a 500", bytes: post("/broken", "k2"), status: 500, calls: 1 },
    { name: "released", bytes: post("/later", "k3"), status: 429, calls: 1 },
    { name: "too large to keep", bytes: post("/small", "k4"), status: 201, calls: 1 },
    { name: "not replayable", bytes: post("/small", "k4"), status: 409, calls: 0 },
    { name: "reset", bytes: post("/resets", "u1"), status: 502, calls: 1 },
    { name: "unknown outcome", bytes: post("/resets", "u1"), status: 409, calls: 0 },
    { name: "truncated", bytes: post("/truncated", "u2"), status: 502, calls: 1 },
    { name: "malformed", bytes: post("/malformed", "u3"), status: 502, calls: 1 },
    { name: "a forged head", bytes: post("/forged", "u4"), status: 502, calls: 1 },
    { name: "never answered", bytes: post("/never", "u5"), status: 504, calls: 1 },
    { name: "upstream's 502", bytes: post("/gateway", "u6"), status: 502, calls: 1 },
    { name: "shadow", bytes: post("/shadow", "s1"), status: 201, calls: 1 },
    { name: "shadow again", bytes: post("/shadow", "s1", other), status: 201, calls: 1 },
    {
      name: "key from the query",
      bytes: secretly(canary, `POST /query?id=${bad}`, [], body),
      status: 201,
      calls: 1,
    },
    {
      name: "the same again",
      bytes: secretly(canary, `POST /query?id=${bad}`, [], other),
      status: 409,
      calls: 0,
    },
    {
      name: "key from the body",
      bytes: secretly(canary, "POST /body", [], body),
      status: 201,
      calls: 1,
    },
    {
      name: "duplicate members",
      bytes: secretly(canary, "POST /body", [], `{"${bad}":1,"${bad}":2}`),
      status: 400,
      calls: 0,
    },
    {
      name: "no JSON",
      bytes: secretly(canary, "POST /body", [], `{"card": ${bad}`),
      status: 400,
      calls: 0,
    },
    {
      name: "key missing",
      bytes: secretly(canary, "POST /required", [], body),
      status: 428,
      calls: 0,
    },
    { name: "body too large", bytes: post("/small", "k5", other.repeat(9)), status: 413, calls: 0 },
    { name: "no UUID", bytes: post("/uuid", "k6"), status: 400, calls: 0 },
    invalid("key too long", `Idempotency-Key: ${bad.repeat(12)}`),
    invalid("key with a space", `Idempotency-Key: ${bad} ${bad}`),
    invalid("key with parameters", `Idempotency-Key: "${bad}";p=${bad}`),
    invalid("key with a comma", `Idempotency-Key: ${bad}, ${bad}`),
    invalid("key not closed", `Idempotency-Key: "${bad}`),
    invalid("key beyond ASCII", `Idempotency-Key: ${bad}\u00e9`),
    invalid("two keys", `Idempotency-Key: ${bad}\r\nidempotency-key: ${bad}`),
    invalid("key under another name", `Idempotency_Key: ${bad}`),
    invalid("credentials twice", `Idempotency-Key: a\r\nAuthorization: ${bad}`),
    invalid("key named in Connection", `Idempotency-Key: ${bad}\r\nConnection: Idempotency-Key`),
  ];
}

function passedSteps(canary: Canary): readonly Step[] {
  const upgrade = [
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${canary.at("ws")}`,
  ];
  const ws = (path: string): string =>
    secretly(canary, `GET ${path}`, upgrade).replace("Connection: close", "Connection: upgrade");
  return [
    { name: "a read", bytes: secretly(canary, "GET /ok", []), status: 201, calls: 1 },
    {
      name: "no key",
      bytes: secretly(canary, "POST /ok", [], canary.at("body")),
      status: 201,
      calls: 1,
    },
    { name: "a read reset", bytes: secretly(canary, "GET /resets", []), status: 502, calls: 1 },
    {
      name: "a read malformed",
      bytes: secretly(canary, "GET /malformed", []),
      status: 502,
      calls: 1,
    },
    { name: "an upgrade refused", bytes: ws("/refuses"), status: 403, calls: 1 },
    { name: "an upgrade malformed", bytes: ws("/malformed"), status: 502, calls: 1 },
    { name: "an upgrade reset", bytes: ws("/resets"), status: 502, calls: 1 },
    {
      name: "h2c",
      bytes: ws("/ok").replace("websocket", `h2c, ${canary.at("upgrade")}`),
      status: 400,
      calls: 0,
    },
    {
      name: "CONNECT",
      bytes: `CONNECT ${canary.at("authority")}:443 HTTP/1.1\r\nHost: a\r\n\r\n`,
      status: 400,
      calls: 0,
    },
  ];
}

function refusedSteps(canary: Canary): readonly Step[] {
  const bad = canary.at("parser");
  const refused: readonly (readonly [name: string, bytes: string, status: number])[] = [
    ["no method", `${bad} / HTTP/1.1\r\n\r\n`, 400],
    ["not HTTP at all", `\x16\x03\x01${bad}\r\n\r\n`, 400],
    ["a bad version", `GET /?${bad} HTTP/${bad}\r\n\r\n`, 400],
    ["NUL in a value", `GET / HTTP/1.1\r\nAuthorization: ${bad}\0\r\n\r\n`, 400],
    ["folded", `GET / HTTP/1.1\r\nCookie: a\r\n ${bad}\r\n\r\n`, 400],
    ["too much head", `GET / HTTP/1.1\r\nHost: a\r\nCookie: ${bad.repeat(800)}\r\n\r\n`, 431],
    ["a bad length", `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bad}\r\n\r\n`, 400],
    [
      "a bad chunk",
      `POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\nzz${bad}\r\n`,
      400,
    ],
    ["another coding", `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ${bad}\r\n\r\n`, 501],
    ["two hosts", `GET / HTTP/1.1\r\nHost: ${bad}\r\nHost: ${bad}\r\n\r\n`, 400],
    ["a host with credentials", `GET / HTTP/1.1\r\nHost: ${bad}@a\r\n\r\n`, 400],
    ["another authority", `GET http://user:${bad}@b/ HTTP/1.1\r\nHost: a\r\n\r\n`, 400],
    ["another authority, no user", `GET http://${bad}/ HTTP/1.1\r\nHost: a\r\n\r\n`, 400],
    ["an expectation", `GET / HTTP/1.1\r\nHost: a\r\nExpect: ${bad}\r\n\r\n`, 417],
    ["a fragment", `GET /?#${bad} HTTP/1.1\r\nHost: a\r\n\r\n`, 400],
    ["a target that is a word", `GET ${bad} HTTP/1.1\r\nHost: a\r\n\r\n`, 400],
  ];
  return refused.map(([name, bytes, status]) => ({ name, bytes, status, calls: 0 }));
}

const ROUTES = [
  { name: "shadow", match: { path: "/shadow" }, mode: "shadow" },
  { name: "query", match: { path: "/query" }, key: { from: "query", name: "id" } },
  {
    name: "body",
    match: { path: "/body" },
    key: { from: "body", pointers: ["/card"] },
    fingerprint: { body: "json" },
  },
  { name: "required", match: { path: "/required" }, key: { required: true } },
  { name: "uuid", match: { path: "/uuid" }, key: { format: "uuid" } },
  {
    name: "small",
    match: { path: "/small" },
    limits: { requestBytes: "256B", responseBytes: "8B" },
  },
  { name: "bypass", match: { path: "/bypass" }, onStoreError: "bypass" },
];

const portOf = (url: string): number => Number(new URL(url).port);

async function take(
  t: Test,
  canary: Canary,
  gateway: GatewayProcess,
  upstream: TestUpstream,
  steps: readonly Step[],
): Promise<void> {
  for (const { name, bytes, status, calls } of steps) {
    const before = upstream.count();
    const answer = await wire(t, portOf(gateway.url), Buffer.from(bytes, "latin1"));
    t.equal(answer.status, status, name);
    t.equal(upstream.count() - before, calls, `${name}: calls`);
    keepAnswer(canary, name, answer);
  }
}

/** Everything that operators see. */
async function keepOperators(
  canary: Canary,
  gateway: GatewayProcess,
  token: string,
): Promise<string> {
  const bad = canary.at("admin");
  const authorization = `Bearer ${token}`;
  const keep = async (where: string, path: string, options: Parameters<typeof call>[1] = {}) => {
    const answer = await call(`${gateway.admin}${path}`, {
      headers: { authorization },
      ...options,
    });
    const text = answer.body.toString("latin1");
    canary.keep(`admin ${where}`, `${answer.status} ${answer.pairs.join("\n")}\n${text}`);
    return text;
  };
  const readiness = await keep("readyz", "/readyz");
  await keep("livez", "/livez");
  await keep("metrics", "/metrics");
  const listed = await keep("records", "/v1/records?limit=1000");
  const ids = [...listed.matchAll(/"id":"([0-9a-f]{64})"/g)].map(([, id]) => id!);
  for (const id of ids) await keep("record", `/v1/records/${id}`);
  await keep("wrong token", "/v1/records", { headers: { authorization: `Bearer ${bad}` } });
  await keep("no token", "/v1/records", { headers: { cookie: bad } });
  await keep("bad state", `/v1/records?state=${bad}`);
  await keep("bad cursor", `/v1/records?cursor=${bad}`);
  await keep("bad parameter", `/v1/records?${bad}=1`);
  await keep("bad id", `/v1/records/${bad}`);
  await keep("bad path", `/${bad}`);
  await keep("bad resolution", `/v1/records/${"0".repeat(64)}/resolve`, {
    method: "POST",
    body: `{"outcome": ${bad}`,
  });
  await keep("other resolution", `/v1/records/${"0".repeat(64)}/resolve`, {
    method: "POST",
    body: JSON.stringify({ outcome: bad }),
  });
  return readiness;
}

root.test("a canary in everything that is secret comes out nowhere", async (t) => {
  const canary = newCanary();
  const password = canary.at("redis-password");
  const token = canary.at("admin-token");
  const redis = await startRedis(t, {
    acl: [`user app on >${password} ~* &* +@all`, "user default on nopass ~* &* +@all"],
  });
  const upstream = await startSecretive(t, canary);
  const settings = {
    upstream: { url: upstream.url, connectTimeout: "500ms", timeout: "700ms" },
    log: { level: "trace" },
    routes: ROUTES,
  };
  const gateway = await startGatewayProcess(t, configured(t, settings), {
    IDEMPOTENCY_GATEWAY_STORE: redis.url.replace("redis://", `redis://app:${password}@`),
    IDEMPOTENCY_GATEWAY_ADMIN_TOKEN: token,
  });
  const ready = async (): Promise<boolean> => {
    const answer = await call(`${gateway.admin}/readyz`);
    canary.keep("readyz", answer.body.toString());
    return answer.status === 200;
  };
  await until(ready);

  await take(t, canary, gateway, upstream, guardedSteps(canary));
  await take(t, canary, gateway, upstream, passedSteps(canary));
  await take(t, canary, gateway, upstream, refusedSteps(canary));
  await keepOperators(canary, gateway, token);

  const body = JSON.stringify({ card: canary.at("body") });
  const post = (path: string, key: string): string =>
    secretly(canary, `POST ${path}`, [`Idempotency-Key: ${canary.at(key)}`], body);
  const gate = upstream.hold();
  const before = upstream.calls.length;
  const caught = wire(t, portOf(gateway.url), post("/ok", "caught"));
  await upstream.arrived(before + 1);
  await redis.kill("SIGKILL");
  gate.release();
  const notRecorded = await caught;
  t.strictSame(notRecorded.all("Idempotency-Status"), ["not-recorded"]);
  keepAnswer(canary, "not recorded", notRecorded);
  await take(t, canary, gateway, upstream, [
    { name: "store down", bytes: post("/ok", "down"), status: 503, calls: 0 },
    { name: "store down, replay wanted", bytes: post("/ok", "k1"), status: 503, calls: 0 },
    { name: "store down, bypass", bytes: post("/bypass", "down"), status: 201, calls: 1 },
  ]);
  t.match(await keepOperators(canary, gateway, token), /Redis does not answer/);
  await redis.restart();
  await until(ready);

  // Now the password is another one: the client's errors carry what it tried.
  await redis.cli("ACL", "SETUSER", "app", "resetpass", `>${canary.at("new-password")}`);
  await redis.cli("CLIENT", "KILL", "USER", "app");
  await until(async () => !(await ready()));
  await take(t, canary, gateway, upstream, [
    { name: "password refused", bytes: post("/ok", "refused"), status: 503, calls: 0 },
  ]);
  await keepOperators(canary, gateway, token);
  await redis.cli("ACL", "SETUSER", "app", `>${password}`);
  await until(ready);
  await upstream.close();
  await take(t, canary, gateway, upstream, [
    { name: "upstream gone", bytes: post("/ok", "gone"), status: 502, calls: 0 },
    {
      name: "upstream gone, a read",
      bytes: secretly(canary, "GET /ok", []),
      status: 502,
      calls: 0,
    },
  ]);
  t.equal(await gateway.end("SIGTERM"), 0);

  for (const line of gateway.output) canary.keep("output", line);
  t.ok(gateway.output.length > 60, `${gateway.output.length} lines of output`);
  t.strictSame(canary.leaks(), [], `nothing in ${canary.kept} texts`);
});

root.test("the canary is found where it is", async (t) => {
  const canary = newCanary();
  const secret = canary.at("-x");
  const texts = [secret, `{"a":"${secret.toUpperCase()}"}`, Buffer.from(secret).toString("base64")];
  for (const text of texts) canary.keep("control", text);
  canary.keep("clean", "c4n4ry");
  t.equal(canary.leaks().length, texts.length);
});

root.test("a worker that is killed with secrets in its hands leaves none behind", async (t) => {
  const canary = newCanary();
  const upstream = await startSecretive(t, canary);
  const settings = {
    upstream: { url: upstream.url },
    store: { url: `file:${tempDir(t)}` },
    log: { level: "trace" },
    workers: 2,
  };
  const token = canary.at("admin-token");
  const env = { IDEMPOTENCY_GATEWAY_ADMIN_TOKEN: token };
  const gateway = await startGatewayProcess(t, configured(t, settings), env);
  const gate = upstream.hold();
  const body = canary.at("body");
  const bytes = secretly(canary, "POST /ok", [`Idempotency-Key: ${canary.at("key")}`], body);
  const cut = wire(t, portOf(gateway.url), bytes).catch(() => "cut");
  await upstream.arriving(1);
  const children = readFileSync(`/proc/${gateway.pid}/task/${gateway.pid}/children`, "utf8");
  let listening = 2;
  for (const pid of children.trim().split(" ")) {
    process.kill(Number(pid), "SIGKILL");
    await gateway.lines((listening += 1), ({ msg }) => msg === "worker listening");
  }
  t.equal(await cut, "cut");
  gate.release();
  const retry = await wire(t, portOf(gateway.url), bytes);
  t.equal(retry.status, 409);
  t.strictSame(retry.all("Idempotency-Status"), ["in-flight"]);
  keepAnswer(canary, "retry", retry);
  await keepOperators(canary, gateway, token);
  t.equal(await gateway.end("SIGTERM"), 0);
  for (const line of gateway.output) canary.keep("output", line);
  t.strictSame(canary.leaks(), []);
  t.equal(upstream.count(), 1);
});
