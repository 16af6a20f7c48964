/** Turns at a resource: different ones never wait for each other, and waiting for one has an end that is told. */
import { call, type Answer } from "../support/client.ts";
import { inEveryDeployment } from "../support/setups.ts";
import { writeAnswer, type Responder } from "../support/upstream.ts";

const WAIT_MS = 700;
/** What a busy machine takes. */
const SLACK_MS = 3000;

const SETTINGS = {
  routes: [
    {
      name: "waiting",
      match: { methods: ["PUT"], path: "/waiting/:id" },
      resource: { id: "path", serialize: "wait" },
      waitTimeout: `${WAIT_MS}ms`,
    },
    {
      name: "rejecting",
      match: { methods: ["PUT"], path: "/rejecting/:id" },
      resource: { id: "path", serialize: "reject" },
      waitTimeout: "20s",
    },
  ],
};

/** Requests whose body is `slow` wait; `most` is how many ran at once for one path. */
let most = 0;
let open: () => void = () => undefined;

function newThings(): Responder {
  const running = new Map<string, number>();
  const gate = new Promise<void>((resolve) => (open = resolve));
  most = 0;
  return async ({ url, body }, _req, res) => {
    const now = (running.get(url) ?? 0) + 1;
    running.set(url, now);
    most = Math.max(most, now);
    if (body.toString() === "slow") await gate;
    else await new Promise(setImmediate);
    running.set(url, (running.get(url) ?? 0) - 1);
    writeAnswer(res, {});
  };
}

const put = (base: string, path: string, body = "x", key?: string): Promise<Answer> =>
  call(base + path, {
    method: "PUT",
    body,
    ...(key !== undefined && { headers: { "Idempotency-Key": key } }),
  });

await inEveryDeployment(
  "others' things wait for nobody; whose turn does not come is told so, with nothing sent and its key free",
  SETTINGS,
  newThings,
  async (t, { url, upstream }) => {
    const slow = [put(url(0), "/waiting/a", "slow"), put(url(1), "/rejecting/a", "slow")];
    await upstream.arrived(2);
    const others = ["/waiting/b", "/waiting/c", "/rejecting/b", "/rejecting/c"].map((path, n) =>
      put(url(n), path),
    );
    for (const { status } of await Promise.all(others)) t.equal(status, 200);
    t.equal(upstream.count(), 6, "while the slow ones are still at it");

    const bounds = [
      // Nobody sleeps past the end of a wait: it may end by the longest pause between two tries, 75 ms, before it.
      ["/waiting/a", WAIT_MS - 80, WAIT_MS + SLACK_MS],
      ["/rejecting/a", 0, SLACK_MS],
    ] as const;
    for (const [path, leastMs, mostMs] of bounds) {
      for (const key of [undefined, `key of ${path}`]) {
        const startedMs = performance.now();
        const refused = await put(url(1), path, "x", key?.replaceAll(" ", "-"));
        const tookMs = performance.now() - startedMs;
        t.match([refused.status, refused.json()["code"]], [409, "resource-locked"]);
        t.match([refused.header("Retry-After"), refused.header("x-should-retry")], ["1", "true"]);
        t.ok(tookMs >= leastMs && tookMs < mostMs, `${path}: ${tookMs} ms`);
      }
    }
    t.equal(upstream.count(), 6);

    open();
    for (const { status } of await Promise.all(slow)) t.equal(status, 200);
    for (const path of ["/waiting/a", "/rejecting/a"]) {
      const retried = await put(url(0), path, "x", `key-of-${path}`);
      t.match([retried.status, retried.header("Idempotency-Status")], [200, "executed"]);
    }
    t.equal(upstream.count(), 8);

    const crowd = await Promise.all(
      Array.from({ length: 12 }, (_, n) => put(url(n), "/waiting/d")),
    );
    const done = crowd.filter(({ status }) => status === 200).length;
    t.ok(done >= 1 && crowd.every(({ status }) => status === 200 || status === 409));
    t.match([upstream.count(), most], [8 + done, 1], "one at a time");
  },
);
