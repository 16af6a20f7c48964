import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import t, { type Test } from "tap";
import { createGate } from "../../src/admin/auth.ts";
import { IDS } from "./desk.ts";
import { type Ask, type Port, startPort } from "./port.ts";

const TOKEN = "s3cret-admin-token";

/** Everything that needs authorisation, known or not. */
const GUARDED: readonly (readonly [path: string, ask: Ask])[] = [
  ["/v1/records", {}],
  [`/v1/records/${IDS.unknown}`, {}],
  [`/v1/records/${IDS.unknown}`, { method: "HEAD" }],
  [`/v1/records/${IDS.unknown}`, { method: "DELETE" }],
  [
    `/v1/records/${IDS.unknown}/resolve`,
    {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: '{"outcome":"executed"}',
    },
  ],
  ["/v1/records/nonsense", {}],
  ["/v1/counters", {}],
  ["/v1/routes", {}],
  ["/v1/status", {}],
  [`/v1/records/${IDS.completed}/answer`, {}],
  [
    "/v1/records/search",
    { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"key":"a"}' },
  ],
  ["/nonsense", {}],
];

/** All of them get this status, and nothing was read or changed. */
async function refusesAll(t: Test, port: Port, status: number, headers: Ask["headers"] = {}) {
  for (const [path, ask] of GUARDED) {
    const answer = await port.ask(path, { ...ask, headers: { ...ask.headers, ...headers } });
    t.equal(answer.status, status, `${ask.method ?? "GET"} ${path}`);
    t.notMatch(answer.body, TOKEN);
  }
  t.strictSame([port.desk.asked, port.audits], [[], []]);
}

async function healthIsOpen(t: Test, port: Port, headers: Ask["headers"] = {}) {
  for (const path of ["/livez", "/readyz", "/metrics"]) {
    t.equal((await port.ask(path, { headers })).status, 200, path);
  }
}

t.test(
  "a token is configured: without one, all but health and metrics is 401 with a challenge",
  async (t) => {
    const port = await startPort(t, { token: TOKEN });
    await refusesAll(t, port, 401);
    await healthIsOpen(t, port);
    const answer = await port.ask("/v1/records");
    t.equal(answer.headers["www-authenticate"], 'Bearer realm="idempotency-gateway"');
    t.match(answer.json, { code: "token-missing", detail: "Authorization: Bearer" });
  },
);

t.test("a wrong token, another scheme, or two of them: 401 invalid_token", async (t) => {
  const port = await startPort(t, { token: TOKEN });
  const wrong: readonly (string | string[])[] = [
    "Bearer",
    "Bearer ",
    "Bearer x",
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(0, -1)}`,
    `Bearer ${TOKEN.toUpperCase()}`,
    `Bearer ${TOKEN} ${TOKEN}`,
    `Bearer${TOKEN}`,
    TOKEN,
    `Basic ${Buffer.from(`admin:${TOKEN}`).toString("base64")}`,
    [`Bearer ${TOKEN}`, "Bearer x"],
    ["Bearer x", `Bearer ${TOKEN}`],
    [`Bearer ${TOKEN}`, `Bearer ${TOKEN}`],
  ];
  for (const authorization of wrong) {
    const answer = await port.ask("/v1/records", { headers: { Authorization: authorization } });
    t.equal(answer.status, 401, String(authorization));
    t.match(answer.headers["www-authenticate"], 'error="invalid_token"');
    t.equal(answer.json.code, "token-invalid");
  }
  await refusesAll(t, port, 401, { Authorization: "Bearer x" });
});

t.test(
  "the right token opens it, whatever the case of the scheme, the Host or the Origin",
  async (t) => {
    const port = await startPort(t, { token: TOKEN });
    const right = [
      { Authorization: `Bearer ${TOKEN}` },
      { Authorization: `bearer  ${TOKEN}` },
      { Authorization: `Bearer ${TOKEN}`, Host: "gateway.internal:9091" },
      { Authorization: `Bearer ${TOKEN}`, Origin: "https://console.example" },
    ];
    for (const headers of right) {
      t.equal((await port.ask("/v1/records", { headers })).status, 200);
    }
  },
);

t.test("no token, loopback: this host's programs may, by any of its loopback names", async (t) => {
  const port = await startPort(t);
  const names = ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "[::1]", "[::ffff:127.0.0.1]"];
  for (const name of names) {
    for (const host of [name, `${name}:${port.port}`]) {
      t.equal((await port.ask("/v1/records", { headers: { Host: host } })).status, 200, host);
    }
  }
});

t.test("no token, loopback: a Host that is no loopback name is DNS rebinding, 403", async (t) => {
  const port = await startPort(t);
  const foreign = [
    "evil.example",
    `evil.example:${port.port}`,
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "10.0.0.1",
    "0.0.0.0",
    "[::]",
    "[::ffff:10.0.0.1]",
    "localhost@evil.example",
    "localhost:1:2",
    "2130706433",
    "127.1",
  ];
  for (const host of foreign) {
    const answer = await port.ask("/v1/records", { headers: { Host: host } });
    t.equal(answer.status, 403, host);
    t.match(answer.json, { code: "not-allowed", detail: "as Host" });
  }
  await refusesAll(t, port, 403, { Host: "evil.example" });
  await healthIsOpen(t, port, { Host: "gateway.internal" });
  const twice = "GET /v1/records HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n";
  t.match(await port.raw(`${twice}Connection: close\r\n\r\n`), /^HTTP\/1\.1 40[03] /);
  t.match(await port.raw("GET /v1/records HTTP/1.0\r\n\r\n"), /^HTTP\/1\.1 403 /, "no Host at all");
});

t.test(
  "no token, loopback: of web pages only the port's own console may, whatever the name it was asked under",
  async (t) => {
    const port = await startPort(t);
    const { port: own } = port;
    const foreign = [
      "https://evil.example",
      "null",
      "http://localhost",
      "",
      `https://127.0.0.1:${own}`,
      `http://127.0.0.1:${own + 1}`,
      `http://localhost:${own}`,
      `http://127.0.0.1:${own}, http://127.0.0.1:${own}`,
    ];
    for (const origin of foreign) {
      const answer = await port.ask("/v1/records", { headers: { Origin: origin } });
      t.equal(answer.status, 403, origin);
      t.equal(answer.headers["access-control-allow-origin"], undefined);
    }
    for (const site of ["cross-site", "same-site", "SAME-ORIGIN", ""]) {
      const headers = { "Sec-Fetch-Site": site };
      t.equal((await port.ask("/v1/records", { headers })).status, 403, site);
    }
    await refusesAll(t, port, 403, { Origin: "https://evil.example" });
    await refusesAll(t, port, 403, { "Sec-Fetch-Site": "cross-site" });
    for (const name of ["127.0.0.1", "localhost", "[::1]"]) {
      const host = `${name}:${own}`;
      const headers = { Host: host, Origin: `http://${host}`, "Sec-Fetch-Site": "same-origin" };
      t.equal((await port.ask("/v1/records", { headers })).status, 200, name);
    }
    const typed = await port.ask("/v1/records", { headers: { "Sec-Fetch-Site": "none" } });
    t.equal(typed.status, 200, "an address that somebody has typed");
  },
);

t.test(
  "no token, reachable from elsewhere: the records API is closed and says how to open it",
  async (t) => {
    const port = await startPort(t, { host: "0.0.0.0" });
    await refusesAll(t, port, 403);
    await refusesAll(t, port, 403, { Authorization: `Bearer ${TOKEN}` });
    await refusesAll(t, port, 403, { Authorization: "Bearer " });
    await healthIsOpen(t, port);
    const answer = await port.ask("/v1/records");
    t.match(answer.json, { code: "not-allowed", detail: /`admin\.token`.*127\.0\.0\.1/ });
  },
);

t.test("which bound addresses are loopback", async (t) => {
  const request = new IncomingMessage(new Socket());
  const open = (address: string) => createGate("", address)(request)?.body?.includes("as Host");
  for (const address of ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"]) {
    t.equal(open(address), true, address);
  }
  const others = ["0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "fe80::1", "::ffff:10.0.0.1", "", "x"];
  for (const address of others) t.equal(open(address), false, address);
});

t.test("a token, reachable from elsewhere: the token decides", async (t) => {
  const port = await startPort(t, { host: "0.0.0.0", token: TOKEN });
  await refusesAll(t, port, 401);
  const headers = { Authorization: `Bearer ${TOKEN}`, Host: "gateway.internal" };
  t.equal((await port.ask("/v1/records", { headers })).status, 200);
});

t.test(
  "localhost as the configured host is judged by the address it turns out to be",
  async (t) => {
    const port = await startPort(t, { host: "localhost" });
    t.equal((await port.ask("/v1/records")).status, 200);
  },
);
