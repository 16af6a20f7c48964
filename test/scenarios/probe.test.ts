/**
 * Conditions: the look at the upstream that they are judged by, what becomes of a write where that look fails, and
 * what reads of such a resource are told.
 */
import type { Test } from "tap";
import { call, type Answer } from "../support/client.ts";
import { inEveryDeployment, type Deployment } from "../support/setups.ts";
import { writeAnswer, type Answer as Said, type Responder } from "../support/upstream.ts";

const TIMEOUT_MS = 1500;
const SLACK_MS = 2000;
const LIMIT = 2048;

const SETTINGS = {
  upstream: { timeout: `${TIMEOUT_MS}ms`, connectTimeout: "500ms" },
  store: { timeout: "2s" },
  routes: [
    {
      name: "lamps",
      match: { methods: ["PUT"], path: "/lamps/:id" },
      resource: { id: "path", precondition: "honour" },
      limits: { responseBytes: `${LIMIT / 1024}KiB` },
    },
  ],
};

/** What a GET is answered; a PUT always works. */
let read: Said | ((...args: Parameters<Responder>) => void) = {};
let puts = 0;

const lamp: Responder = (request, req, res) => {
  if (request.method === "PUT") puts += 1;
  if (request.method === "PUT") return writeAnswer(res, { status: 204 });
  return typeof read === "function" ? read(request, req, res) : writeAnswer(res, read);
};

const newLamp = (): Responder => {
  [read, puts] = [{ body: "on" }, 0];
  return lamp;
};

const put = (url: string, headers: Record<string, string>): Promise<Answer> =>
  call(`${url}/lamps/1`, { method: "PUT", body: "off", headers });

const get = (url: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> =>
  call(`${url}/lamps/1?from=panel`, { method, headers });

await inEveryDeployment(
  "the look carries the caller's credentials, and nothing of the write",
  SETTINGS,
  newLamp,
  async (t, { url, upstream }) => {
    const credentials = { Authorization: "Bearer of-ann", "X-Api-Key": "k", Cookie: "s=1" };
    const rest = { "If-Match": "*", "Idempotency-Key": "k1", "Content-Type": "text/plain" };
    t.equal((await put(url(0), { ...credentials, ...rest, Accept: "text/plain" })).status, 204);
    const [look, write] = upstream.calls;
    t.match([look?.method, look?.url, write?.method], ["GET", "/lamps/1", "PUT"]);
    for (const [name, value] of Object.entries({ ...credentials, Accept: "text/plain" })) {
      t.same([look?.all(name), write?.all(name)], [[value], [value]]);
    }
    const own = ["If-Match", "Idempotency-Key", "Idempotency-Fence", "Content-Type"];
    for (const name of [...own, "Content-Length", "Transfer-Encoding"]) {
      t.same(look?.all(name), [], name);
    }
    t.equal(look?.body.length, 0);
    t.match([upstream.count(), puts], [2, 1]);
  },
);

await inEveryDeployment(
  "a look that fails is told, nothing is written, and the key is free",
  SETTINGS,
  newLamp,
  async (t, place) => {
    const { url, upstream } = place;
    const statuses = [500, 503, 204, 301].map((status) => ({ status }));
    const failures: (readonly [typeof read, number])[] = [
      ...statuses.map((said) => [said, 502] as const),
      [{ body: "x".repeat(LIMIT + 1) }, 502],
      [(_call, req) => void req.socket.resetAndDestroy(), 502],
      [(_call, _req, res) => void res.writeHead(200, { "Content-Length": 9 }).write("x"), 504],
      [() => undefined, 504],
    ];
    for (const [failure, status] of failures) {
      read = failure;
      const startedMs = performance.now();
      const told = await put(url(0), { "If-Match": "*", "Idempotency-Key": "k1" });
      t.match([told.status, told.json()["code"]], [status, "upstream-unreachable"]);
      t.match(String(told.json()["detail"]), /Nothing was sent that changes anything/);
      t.ok(performance.now() - startedMs < TIMEOUT_MS + SLACK_MS);
    }
    t.match([upstream.count(), puts], [failures.length, 0]);
    read = { body: "on" };
    t.equal((await put(url(1), { "If-Match": "*", "Idempotency-Key": "k1" })).status, 204);
    t.equal(puts, 1);
    await cutOff(t, place);
  },
);

async function cutOff(t: Test, { url, upstream }: Deployment): Promise<void> {
  await upstream.close();
  const refused = await put(url(0), { "If-Match": "*" });
  t.match([refused.status, refused.json()["code"]], [502, "upstream-unreachable"]);
  const unread = await get(url(0));
  t.match([unread.status, unread.json()["code"]], [502, "upstream-unreachable"]);
}

await inEveryDeployment(
  "reads show the tag that writes are judged by, and 304 for it; a weak tag never lets a write through",
  SETTINGS,
  newLamp,
  async (t, { url, upstream }) => {
    const seen = await get(url(0));
    const etag = seen.header("ETag") ?? "";
    t.match([seen.status, seen.body.toString()], [200, "on"]);
    const head = await get(url(1), {}, "HEAD");
    t.match([head.status, head.header("ETag"), head.body.length], [200, etag, 0]);
    for (const tags of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const same = await get(url(1), { "If-None-Match": tags });
      t.match([same.status, same.header("ETag"), same.body.length], [304, etag, 0], tags);
    }
    t.equal((await get(url(0), { "If-None-Match": '"other"' })).status, 200);
    t.same(upstream.calls[0]?.url, "/lamps/1?from=panel", "the query is the upstream's");

    for (const tags of [`W/${etag}`, '"other"', `W/${etag}, "other"`, '""']) {
      const weak = await put(url(0), { "If-Match": tags });
      t.match([weak.status, weak.json()["code"], weak.header("ETag")], [412, "precondition-failed", etag]); // prettier-ignore
    }
    t.equal(
      (await put(url(0), { "If-None-Match": `W/${etag}` })).status,
      412,
      "unchanged is changed",
    );
    t.equal((await put(url(0), { "If-Match": etag.slice(1) })).json()["code"], "request-invalid");
    t.equal(puts, 0);
    t.equal((await put(url(1), { "If-Match": `"other", ${etag}` })).status, 204);
    t.same(upstream.calls.at(-1)?.all("If-Match"), [], "it knows no such tag");

    read = { headers: ["ETag", 'W/"v1"'], body: "on" };
    const own = await get(url(0));
    t.same(own.all("ETag"), ['W/"v1"'], "the upstream's own is the one");
    t.equal((await put(url(0), { "If-Match": 'W/"v1"' })).status, 412);
    read = { headers: ["ETag", '"v2"'], body: "on" };
    t.equal((await put(url(0), { "If-Match": '"v2"' })).status, 204);
    t.same(upstream.calls.at(-1)?.all("If-Match"), ['"v2"'], "it may judge for itself");
    t.equal(puts, 2);
  },
);
