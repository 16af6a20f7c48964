/**
 * Safe methods pass through untouched: each request is made directly to the upstream and through the gateway, and what
 * either side received is compared field by field.
 */
import root, { type Test } from "tap";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { wire, type Pair, type WireAnswer } from "../support/wire.ts";
import { startWitness, type Seen, type Witness } from "../support/witness.ts";
import { CASES, OVER_LIMIT } from "./fidelity-answers.ts";

const METHODS = ["GET", "HEAD", "OPTIONS", "TRACE"];
const ANSWERS = [...CASES, ...OVER_LIMIT];

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
]);

/** Without what ends at a hop, and without the moment where the upstream named none. */
function endToEnd(pairs: readonly Pair[], more: readonly string[] = []): readonly Pair[] {
  const named = pairs
    .filter(([name]) => name.toLowerCase() === "connection")
    .flatMap(([, value]) => value.toLowerCase().split(/, */));
  return pairs.filter(([name]) => {
    const field = name.toLowerCase();
    return !HOP_BY_HOP.has(field) && !named.includes(field) && !more.includes(field);
  });
}

function startUpstreamOf(t: Test): Promise<Witness> {
  return startWitness(t, (seen) => {
    const the = ANSWERS[Number(/\/(\d+)/.exec(seen.line)?.[1])]!;
    const bytes = seen.line.startsWith("HEAD") ? the.bytes.subarray(0, the.headLength) : the.bytes;
    return { bytes, closes: the.closes || seen.all("connection")[0] === "close" };
  });
}

function reasonOf(answer: WireAnswer): string {
  return answer.statusLine.slice("HTTP/1.1".length);
}

async function both(
  t: Test,
  upstream: Witness,
  gateway: TestGateway,
  method: string,
  bytes: string,
): Promise<Record<"direct" | "through", { readonly answer: WireAnswer; readonly seen: Seen }>> {
  const before = upstream.seen.length;
  const direct = await wire(t, upstream.port, bytes, method);
  const through = await wire(t, gateway.port, bytes, method);
  t.equal(upstream.seen.length, before + 2, "one call each");
  t.equal(upstream.unread(), 0);
  const [first, second] = upstream.seen.slice(before);
  return { direct: { answer: direct, seen: first! }, through: { answer: through, seen: second! } };
}

for (const method of METHODS) {
  root.test(`${method} passes through untouched, whatever the answer`, async (t) => {
    const upstream = await startUpstreamOf(t);
    const gateway = await startGateway(t, {
      upstream: { url: upstream.url },
      store: { url: "memory:" },
    });
    for (const [at, { name }] of ANSWERS.entries()) {
      await t.test(name, async (t) => {
        const bytes = `${method} /${at}?q=${at} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nIdempotency-Key: same\r\nX-B: 1\r\nx-a: 2\r\nX-B: 1\r\n\r\n`;
        const { direct, through } = await both(t, upstream, gateway, method, bytes);
        t.equal(through.answer.status, direct.answer.status);
        // Node has a word of its own for an empty reason, which RFC 9112 §4 tells clients to ignore anyway.
        t.match(through.answer.statusLine, reasonOf(direct.answer), "the reason too");
        // RFC 9110 §8.6: no Content-Length with 204.
        const unsaid = direct.answer.status === 204 ? ["content-length"] : [];
        t.strictSame(
          endToEnd(through.answer.pairs, ["date"]),
          endToEnd(direct.answer.pairs, unsaid),
        );
        t.ok(through.answer.body.equals(direct.answer.body), "the same bytes");
        t.ok(through.answer.whole);
        t.equal(through.seen.line, direct.seen.line);
        t.strictSame(endToEnd(through.seen.pairs), [
          ...endToEnd(direct.seen.pairs),
          ["X-Forwarded-For", "127.0.0.1"],
          ["X-Forwarded-Proto", "http"],
          ["X-Forwarded-Host", "a.example"],
        ]);
        t.equal(through.seen.body.length, 0);
      });
    }
    t.equal(upstream.seen.length, ANSWERS.length * 2);
    const page = await gateway.store.list({ limit: 10 });
    t.strictSame(page.records, [], "a key on a safe method makes no record");
  });
}

root.test(
  "the upstream's Date passes through; where it has none, the gateway adds one",
  async (t) => {
    const date = "Thu, 01 Jan 1970 00:00:00 GMT";
    const upstream = await startWitness(t, ({ line }) => ({
      bytes: `HTTP/1.1 200 OK\r\n${line.includes("/with ") ? `date: ${date}\r\n` : ""}X-A: 1\r\nContent-Length: 0\r\n\r\n`,
    }));
    const gateway = await startGateway(t, {
      upstream: { url: upstream.url },
      store: { url: "memory:" },
    });
    const get = (path: string) =>
      wire(t, gateway.port, `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`, "GET");
    t.strictSame((await get("/with")).pairs.slice(0, 2), [
      ["date", date],
      ["X-A", "1"],
    ]);
    const without = await get("/without");
    t.equal(without.all("date").length, 1);
    t.ok(Math.abs(Date.parse(without.all("date")[0]!) - Date.now()) < 60_000);
    t.equal(upstream.seen.length, 2);
  },
);

const READS: readonly (readonly [name: string, head: string, body: string])[] = [
  ["OPTIONS *", "OPTIONS * HTTP/1.1\r\n", ""],
  ["GET with a body by length", "GET /0 HTTP/1.1\r\nContent-Length: 3\r\n", "a\0b"],
  [
    "OPTIONS with a chunked body",
    "OPTIONS /0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
    "2\r\nab\r\n0\r\n\r\n",
  ],
  ["HEAD with a body", "HEAD /0 HTTP/1.1\r\nContent-Length: 2\r\n", "ab"],
  ["odd characters", "GET /0?[]{}|^`\"<>='()&&==#".replace("#", " HTTP/1.1\r\n"), ""],
  [
    "dot segments, doubled slashes, backslashes",
    "GET /0//a/../b/./%2e%2E/c%2Fd\\e%5c HTTP/1.1\r\n",
    "",
  ],
  ["a broken escape", "GET /0?q=100% HTTP/1.1\r\n", ""],
  [
    "conditions and ranges",
    'GET /0 HTTP/1.1\r\nIf-None-Match: W/"a", "b"\r\nRange: bytes=0-1\r\nIF-MATCH: *\r\n',
    "",
  ],
  ["Expect without a body", "GET /0 HTTP/1.1\r\nAccept: */*\r\nmax-forwards: 0\r\n", ""],
];

root.test("what reads may say arrives as it was said", async (t) => {
  const upstream = await startWitness(t, (seen) => ({
    bytes: `HTTP/1.1 200 Fine\r\nAllow: GET\r\nContent-Length: 2\r\n\r\n${seen.line.startsWith("HEAD") ? "" : "ok"}`,
    closes: seen.all("connection")[0] === "close",
  }));
  const gateway = await startGateway(t, {
    upstream: { url: upstream.url },
    store: { url: "memory:" },
  });
  for (const [name, head, body] of READS) {
    const method = head.split(" ")[0]!;
    const bytes = `${head}Host: a.example\r\nConnection: close\r\nX-Latin1: caf\u00e9\r\n\r\n${body}`;
    const { direct, through } = await both(t, upstream, gateway, method, bytes);
    t.equal(through.seen.line, direct.seen.line, name);
    t.ok(through.seen.body.equals(direct.seen.body), `${name}: the body`);
    const added = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "content-length"];
    t.strictSame(
      endToEnd(through.seen.pairs, added),
      endToEnd(direct.seen.pairs, ["content-length"]),
      name,
    );
    t.strictSame(through.seen.all("content-length"), direct.seen.all("content-length"), name);
    t.equal(through.answer.statusLine, direct.answer.statusLine);
    t.ok(through.answer.body.equals(direct.answer.body));
  }
  t.equal(upstream.seen.length, READS.length * 2);
});
