/**
 * What the upstream receives is what the client sent: bytes, order, repeats, case, odd characters. Hop-by-hop fields
 * end at the gateway, and what it adds stands behind them. The upstream is a bare socket, so nothing is normalised.
 */
import root, { type Test } from "tap";
import { startGateway, STORES, storeSettings } from "../support/gateway.ts";
import { pairOf, wire, type Pair } from "../support/wire.ts";
import { startWitness, type Seen, type Witness } from "../support/witness.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const latin1 = (utf8: string): string => Buffer.from(utf8, "utf8").toString("latin1");

/** End-to-end fields, with everything that a tidy proxy would change. */
const FIELDS: readonly string[] = [
  "X-Trace: 1",
  "x-TRACE: 2",
  "Accept: text/html;q=0.1, */*",
  "ACCEPT-encoding: gzip, br",
  "X-Latin1: caf\u00e9 \u00ff",
  `X-Utf8: ${latin1("Zürich – 東京 voilà")}`,
  "X-Empty:",
  "X-Padded: \t a  b\tc ",
  "Cookie: a=1; b=2",
  "Authorization: Basic Zm9vOmJhcg==",
  'x-api-key: "k"',
  "__proto__: p",
  "content-TYPE: application/x-odd; charset=latin1",
  "X-Trace: 1",
  `X-Long: ${"v".repeat(8192)}`,
];

/** Fields for this hop alone, among them what `Connection` names. */
const HOP: readonly string[] = [
  "Connection: close, X-Hop",
  "X-Hop: 1",
  "Keep-Alive: timeout=5",
  "TE: trailers",
  "Proxy-Authorization: Basic Zm9v",
  "Proxy-Connection: keep-alive",
];

/** Each hop frames and addresses for itself; the values of `Host` and `Content-Length` are asserted on their own. */
const FRAMING: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "transfer-encoding",
]);

function endToEnd(seen: Seen | undefined): readonly Pair[] {
  return (seen?.pairs ?? []).filter(([name]) => !FRAMING.has(name.toLowerCase()));
}

interface Sent {
  readonly method: string;
  readonly target?: string;
  readonly fields?: readonly string[];
  /** Undefined: no body, and no field that says so. */
  readonly body?: Buffer;
  readonly chunked?: boolean;
}

function bytesOf({ method, target = "/", fields = [], body, chunked = false }: Sent): Buffer {
  const length = body === undefined ? [] : [`Content-Length: ${body.length}`];
  const framing = chunked ? ["Transfer-Encoding: chunked"] : length;
  const close = fields.some((line) => line.startsWith("Connection:")) ? [] : ["Connection: close"];
  const lines = ["Host: gateway.example:81", ...fields, ...close, ...framing];
  const head = `${method} ${target} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), chunked ? pieces(body) : (body ?? EMPTY)]);
}

const EMPTY = Buffer.alloc(0);

function pieces(body: Buffer = EMPTY): Buffer {
  const half = Math.ceil(body.length / 2);
  const parts = [body.subarray(0, half), body.subarray(half)].filter((part) => part.length > 0);
  const chunks = parts.flatMap((part) => [
    Buffer.from(`${part.length.toString(16)};ext=1\r\n`),
    part,
    Buffer.from("\r\n"),
  ]);
  return Buffer.concat([...chunks, Buffer.from("0\r\nX-Trailer: 1\r\n\r\n")]);
}

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
const smuggler = Buffer.from("GET /admin HTTP/1.1\r\nHost: evil\r\n\r\n0\r\n\r\n");
const FORWARDED: readonly Pair[] = [
  ["X-Forwarded-For", "127.0.0.1"],
  ["X-Forwarded-Proto", "http"],
  ["X-Forwarded-Host", "gateway.example:81"],
];

async function start(t: Test, store: (typeof STORES)[number], more: object = {}) {
  const witness = await startWitness(t, () => ({ bytes: OK }));
  const gateway = await startGateway(t, {
    upstream: { url: witness.url },
    store: { ...(await storeSettings(root, store)), timeout: "5s" },
    ...more,
  });
  return { witness, gateway };
}

/** Sends it and gives what came of it; asserts that it came once. */
async function through(t: Test, port: number, witness: Witness, sent: Sent): Promise<Seen> {
  const before = witness.seen.length;
  const answer = await wire(t, port, bytesOf(sent), sent.method);
  t.equal(answer.status, 200);
  t.equal(witness.seen.length, before + 1, "one call");
  t.equal(witness.unread(), 0, "and not a byte beside it");
  return witness.seen[before]!;
}

const METHODS = ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "PURGE", "LOCK", "M-SEARCH"];
const BODIES: readonly (Pick<Sent, "body" | "chunked"> & { readonly name: string })[] = [
  { name: "every byte by length", body: everyByte },
  { name: "every byte in chunks", body: everyByte, chunked: true },
  { name: "a request inside the body", body: smuggler },
  { name: "a request inside a chunk", body: smuggler, chunked: true },
  { name: "an empty body by length", body: EMPTY },
  { name: "an empty body in chunks", body: EMPTY, chunked: true },
  { name: "no body" },
];

for (const store of STORES) {
  root.test(`${store}: a guarded request reaches the upstream as it was sent`, async (t) => {
    const { witness, gateway } = await start(t, store);
    for (const method of METHODS) {
      for (const { name, ...body } of BODIES) {
        const key = `Idempotency-key: "${method} ${name}"`.replaceAll(" ", "-").replace(":-", ": ");
        const fields = [...FIELDS, key];
        const sent: Sent = { method, target: "/a/b?c", fields: [...HOP, ...fields], ...body };
        const seen = await through(t, gateway.port, witness, sent);
        t.equal(seen.line, `${method} /a/b?c HTTP/1.1`);
        const fence: Pair = ["Idempotency-Fence", "1"];
        t.strictSame(endToEnd(seen), [...fields.map(pairOf), ...FORWARDED, fence], name);
        t.ok(seen.body.equals(body.body ?? EMPTY), `${method}: ${name}`);
        t.strictSame(seen.all("host"), ["gateway.example:81"]);
        t.strictSame(seen.all("transfer-encoding"), [], "read whole, so its length is known");
        const replay = await wire(t, gateway.port, bytesOf(sent));
        t.strictSame(replay.all("Idempotency-Status"), ["replayed"]);
      }
    }
    t.equal(witness.seen.length, METHODS.length * BODIES.length, "one call for two requests");
  });
}

root.test("an unguarded request reaches the upstream as it was sent", async (t) => {
  const { witness, gateway } = await start(t, "memory");
  for (const method of METHODS) {
    for (const { name, ...body } of BODIES) {
      const sent: Sent = { method, target: "/a/b?c", fields: [...HOP, ...FIELDS], ...body };
      const seen = await through(t, gateway.port, witness, sent);
      t.equal(seen.line, `${method} /a/b?c HTTP/1.1`);
      t.strictSame(endToEnd(seen), [...FIELDS.map(pairOf), ...FORWARDED], name);
      t.ok(seen.body.equals(body.body ?? EMPTY), `${method}: ${name}`);
      t.strictSame(seen.all("host"), ["gateway.example:81"]);
      t.strictSame(seen.all("transfer-encoding"), body.chunked === true ? ["chunked"] : []);
    }
  }
});

const TARGETS: readonly string[] = [
  "/",
  "/?",
  "/a?",
  "/a??b=?c",
  "/a?b=c&b=c&&=&b",
  '/a?b[]=1&b[]=2&{c}=|^`"<>',
  "/a?b=c+d%20e%2B",
  "/a?u=http://x/y?z=1&v=//..//.",
  "/a?b=%00%0D%0A%FF%C3%A0",
  "/a?b=\\",
  "/a;v=1/b,c=2/@:!$&'()*+",
  "/%E6%9D%B1%20%22%3C%3E",
  "/a/",
  "/...",
  `/${"long/".repeat(500)}x?${"q=1&".repeat(500)}`,
];

root.test("paths and queries with odd characters reach the upstream as they are", async (t) => {
  const { witness, gateway } = await start(t, "memory");
  for (const [at, target] of TARGETS.entries()) {
    for (const fields of [[`Idempotency-Key: t${at}`], []]) {
      const seen = await through(t, gateway.port, witness, { method: "POST", target, fields });
      t.equal(seen.line, `POST ${target} HTTP/1.1`);
    }
  }
  t.equal(witness.seen.length, TARGETS.length * 2);
});

root.test(
  "two spellings of one target are one target, and the upstream gets it spelt once",
  async (t) => {
    const { witness, gateway } = await start(t, "memory");
    const spellings = ["/%7eme/%c3%a0?x=%2f%41", "/~me/%C3%A0?x=%2FA"];
    for (const target of spellings) {
      const sent: Sent = { method: "POST", target, fields: ["Idempotency-Key: k"] };
      t.equal((await wire(t, gateway.port, bytesOf(sent))).status, 200);
    }
    t.strictSame(
      witness.seen.map(({ line }) => line),
      ["POST /~me/%C3%A0?x=%2FA HTTP/1.1"],
    );
  },
);

root.test("the largest body that a guarded request may have is forwarded whole", async (t) => {
  const { witness, gateway } = await start(t, "memory");
  const body = Buffer.alloc(1024 * 1024, everyByte);
  for (const chunked of [false, true]) {
    const fields = [`Idempotency-Key: ${chunked}`];
    const seen = await through(t, gateway.port, witness, { method: "POST", fields, body, chunked });
    t.ok(seen.body.equals(body));
    t.strictSame(seen.all("content-length"), [String(body.length)]);
    const over = Buffer.concat([body, Buffer.from("x")]);
    const refused = await wire(
      t,
      gateway.port,
      bytesOf({
        method: "POST",
        fields: [`Idempotency-Key: over-${chunked}`],
        body: over,
        chunked,
      }),
    );
    t.equal(refused.status, 413);
  }
  t.equal(witness.seen.length, 2, "one byte more is refused and not sent");
});

root.test("forwarding fields are a trusted peer's own, and replaced for all others", async (t) => {
  const spoofed = [
    "X-Forwarded-For: 10.0.0.1",
    "x-forwarded-for: 10.0.0.2",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: a.example",
    "X-Forwarded-Port: 443",
    "Forwarded: for=10.0.0.1",
    "X-Real-IP: 10.0.0.1",
  ];
  const trusted: readonly Pair[] = [
    ["X-Forwarded-Proto", "https"],
    ["X-Forwarded-Host", "a.example"],
    ["X-Forwarded-Port", "443"],
    ["Forwarded", "for=10.0.0.1"],
    ["X-Real-IP", "10.0.0.1"],
    ["X-Forwarded-For", "10.0.0.1, 10.0.0.2, 127.0.0.1"],
  ];
  for (const [trustedProxies, pairs] of [
    [["127.0.0.1/32"], trusted],
    [[], FORWARDED],
  ] as const) {
    const { witness, gateway } = await start(t, "memory", { listen: { trustedProxies } });
    for (const key of [["Idempotency-Key: k"], []]) {
      const sent: Sent = { method: "POST", fields: [...spoofed, ...key] };
      const seen = await through(t, gateway.port, witness, sent);
      const own = endToEnd(seen).filter(([name]) => !name.startsWith("Idempotency-"));
      t.strictSame(own, pairs, trustedProxies.join());
    }
    t.equal(witness.seen.length, 2);
  }
});

root.test(
  "a fence that a client made up does not reach the upstream of a guarded request",
  async (t) => {
    const { witness, gateway } = await start(t, "memory");
    const fields = ["Idempotency-Key: k", "Idempotency-Fence: 99", "IDEMPOTENCY-FENCE: 98"];
    const seen = await through(t, gateway.port, witness, { method: "POST", fields });
    t.strictSame(seen.all("idempotency-fence"), ["1"]);
  },
);

root.test("a key from the path or the body is told to the upstream in the header", async (t) => {
  const { witness, gateway } = await start(t, "memory", {
    routes: [
      { name: "p", match: { path: "/p/:id" }, key: { from: "path", name: "id" } },
      { name: "b", match: { path: "/b" }, key: { from: "body", pointers: ["/a"] } },
    ],
  });
  const path = await through(t, gateway.port, witness, {
    method: "PUT",
    target: "/p/x%22y",
  });
  t.strictSame(path.all("idempotency-key"), ['"x%22y"']);
  const body = Buffer.from('{"a":"q\\"uote"}');
  const fields = ["Content-Type: application/json"];
  const sent: Sent = { method: "POST", target: "/b", fields, body };
  const seen = await through(t, gateway.port, witness, sent);
  t.ok(seen.body.equals(body));
  t.equal(seen.all("idempotency-key").length, 1);
  t.match(seen.all("idempotency-key")[0], /^"(?:[^"\\]|\\["\\])+"$/, "an RFC 9651 String");
  t.equal(witness.seen.length, 2);
});
