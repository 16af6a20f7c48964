/**
 * The webhook on a clock that the test moves, with a receiver that answers what the test says: what is told together, what is
 * told again, what is dropped, and what a stop does. Real sockets and processes are `test/process/unknown.test.ts`.
 */
import { createHmac } from "node:crypto";
import t from "tap";
import type { HeaderPair } from "../../src/core/record.ts";
import { signedHeaders } from "../../src/notify/signature.ts";
import { type PostAnswer, Webhook } from "../../src/notify/webhook.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const SECRETS = [24, 64].map((size) => Buffer.alloc(size, size).toString("base64"));
const SECOND_MS = 1000;
const INTERVAL_MS = 30_000;
const RETRY_FOR_MS = 3_600_000;

interface Told {
  readonly type: string;
  readonly timestamp: string;
  readonly data: {
    readonly gateway: { readonly name: string; readonly instance: string };
    readonly count: number;
    readonly waiting: number;
    readonly dropped: number;
    readonly outcomes: readonly Readonly<Record<string, unknown>>[];
  };
}

interface Posted {
  readonly atMs: number;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: string;
  readonly told: Told;
}

type Answering = PostAnswer | "silent";

const answered = (status: number, headers: readonly HeaderPair[] = []): PostAnswer => ({
  kind: "answered",
  status,
  headers,
});

function stage() {
  const clock = new VirtualClock();
  const posted: Posted[] = [];
  const answers: Answering[] = [];
  const counted = new Map<string, number>();
  const count = (what: string, by: number) => counted.set(what, (counted.get(what) ?? 0) + by);
  const log: { readonly message: string; readonly fields: Readonly<Record<string, unknown>> }[] =
    [];
  let waiting = 0;
  let usual: Answering = answered(204);
  let running = 0;
  const webhook = new Webhook({
    name: "payments",
    instance: () => "host-1:9091",
    secrets: SECRETS,
    timeoutMs: 5000,
    intervalMs: INTERVAL_MS,
    retryForMs: RETRY_FOR_MS,
    async post(headers, body, timeoutMs) {
      running += 1;
      if (running > 1) throw new Error("two calls at once");
      const told = JSON.parse(body) as Told;
      posted.push({ atMs: clock.monotonicMs(), fields: Object.fromEntries(headers), body, told });
      const answer = answers.shift() ?? usual;
      await Promise.resolve();
      if (answer === "silent") await clock.sleep(timeoutMs);
      running -= 1;
      return answer === "silent" ? { kind: "failed", cause: "deadline-over" } : answer;
    },
    clock,
    wallMs: () => START_MS + clock.monotonicMs(),
    random: () => 0.5,
    counts: {
      called: (result) => count(`called ${result}`, 1),
      told: (result, outcomes) => count(`told ${result}`, outcomes),
      waiting: (outcomes) => void (waiting = outcomes),
    },
    log: (_level, message, fields) => log.push({ message, fields }),
  });
  let n = 0;
  return {
    clock,
    webhook,
    posted,
    log,
    waiting: () => waiting,
    counted: () => Object.fromEntries(counted),
    /** What is answered next, and from then on. */
    answer(...given: Answering[]) {
      answers.push(...given);
    },
    always(given: Answering) {
      usual = given;
    },
    tell(times = 1) {
      for (let i = 0; i < times; i += 1) {
        n += 1;
        const recordId = n.toString(16).padStart(64, "0");
        const attempt = recordId.slice(32);
        webhook.tell({ recordId, route: "charges", method: "POST", reason: "reset", fence: 2, attempt }); // prettier-ignore
      }
    },
    /** The numbers of what was told in each call. */
    numbers: () =>
      posted.map(({ told }) =>
        told.data.outcomes.map(({ record }) => Number(`0x${String(record)}`)),
      ),
  };
}

t.test("the signature is the one of the specification's example", (t) => {
  const message = { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", body: '{"test": 2432232314}' };
  const headers = signedHeaders(message, ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], 1_614_265_330_999);
  t.same(Object.fromEntries(headers), {
    "Content-Type": "application/json",
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  });
  t.end();
});

t.test("the first outcome is told at once, signed with every secret, and by name", async (t) => {
  const s = stage();
  s.tell();
  await s.clock.advance(0);
  const [call] = s.posted;
  if (call === undefined) throw new Error("no call");
  const { fields, body, told } = call;
  const signed = `${fields["webhook-id"]}.${fields["webhook-timestamp"]}.${body}`;
  const expected = SECRETS.map((secret) => {
    const key = Buffer.from(secret, "base64");
    return `v1,${createHmac("sha256", key).update(signed, "utf8").digest("base64")}`;
  });
  t.equal(fields["webhook-signature"], expected.join(" "));
  t.equal(fields["webhook-timestamp"], String(START_MS / 1000));
  t.same(told, {
    type: "idempotency.outcomes.unknown",
    timestamp: "2026-01-02T03:04:05.000Z",
    data: {
      gateway: { name: "payments", instance: "host-1:9091" },
      count: 1,
      waiting: 0,
      dropped: 0,
      outcomes: [
        {
          id: fields["webhook-id"],
          record: "1".padStart(64, "0"),
          route: "charges",
          method: "POST",
          reason: "reset",
          since: "2026-01-02T03:04:05.000Z",
          fence: 2,
        },
      ],
    },
  });
  t.match(fields["webhook-id"], /^msg_[A-Za-z0-9_-]{43}$/);
  t.same(s.counted(), { "called delivered": 1, "told delivered": 1 });
});

t.test(
  "the same outcome has the same id whoever tells of it, another attempt another",
  async (t) => {
    const ids = async (fence: number, attempt = "a".repeat(32)): Promise<string | undefined> => {
      const { webhook, posted, clock } = stage();
      webhook.tell({
        recordId: "a".repeat(64),
        route: `route-${posted.length}`,
        method: "POST",
        reason: "crash",
        fence,
        attempt,
        sinceMs: START_MS - fence,
      });
      await clock.advance(0);
      t.equal(
        posted[0]?.told.data.outcomes[0]?.["since"],
        new Date(START_MS - fence).toISOString(),
        "since when it was found to be so",
      );
      return posted[0]?.fields["webhook-id"];
    };
    t.equal(await ids(1), await ids(1));
    t.not(await ids(1), await ids(1, "b".repeat(32)), "of a key that was freed meanwhile");
  },
);

t.test("what follows within the interval is told together, a hundred at a time", async (t) => {
  const s = stage();
  s.tell();
  await s.clock.advance(0);
  s.tell(149);
  await s.clock.advance(INTERVAL_MS - 1);
  t.equal(s.posted.length, 1, "one call within the interval");
  await s.clock.advance(1);
  t.same(
    s.numbers()[1],
    Array.from({ length: 100 }, (_, i) => i + 2),
  );
  t.match(s.posted[1]?.told.data, { count: 100, waiting: 49, dropped: 0 });
  await s.clock.advance(INTERVAL_MS);
  t.same(
    s.numbers()[2],
    Array.from({ length: 49 }, (_, i) => i + 102),
  );
  t.same(
    s.posted.map(({ atMs }) => atMs),
    [0, INTERVAL_MS, 2 * INTERVAL_MS],
  );
  t.equal(s.waiting(), 0);
  await s.clock.advance(INTERVAL_MS);
  s.tell();
  await s.clock.advance(0);
  t.equal(s.posted.length, 4, "after a quiet interval at once again");
});

t.test("a call that fails is repeated under its id, with pauses that double", async (t) => {
  const s = stage();
  s.answer(answered(500), { kind: "failed", cause: "ECONNREFUSED" }, answered(307), answered(410));
  s.tell();
  await s.clock.advance(0);
  s.tell();
  await s.clock.advance(20 * SECOND_MS);
  // Half of the jitter: three quarters of 1, 2, 4 and 8 seconds.
  t.same(
    s.posted.map(({ atMs }) => atMs),
    [0, 750, 2250, 5250, 11_250],
  );
  t.equal(new Set(s.posted.map(({ body }) => body)).size, 1, "the same body");
  t.equal(new Set(s.posted.map(({ fields }) => fields["webhook-id"])).size, 1, "the same id");
  t.not(
    s.posted[0]?.fields["webhook-signature"],
    s.posted[4]?.fields["webhook-signature"],
    "signed for its own time",
  );
  t.match(s.counted(), { "called failed": 4, "called delivered": 1, "told delivered": 1 });
  t.same(
    s.log.map(({ message }) => message),
    ["the webhook was not delivered; it is tried again", "unknown outcomes told"],
    "told once, and when it has arrived",
  );
  await s.clock.advance(INTERVAL_MS);
  t.same(s.numbers()[5], [2], "then what came meanwhile");
});

t.test("Retry-After is followed on 429 and 503 alone, and up to ten minutes", async (t) => {
  const after = (value: string): readonly HeaderPair[] => [["Retry-After", value]];
  const pauseMs = async (answer: PostAnswer): Promise<number | undefined> => {
    const s = stage();
    s.answer(answer);
    s.tell();
    await s.clock.advance(2_000_000);
    return s.posted[1]?.atMs;
  };
  t.equal(await pauseMs(answered(503, after("120"))), 120_000);
  t.equal(await pauseMs(answered(429, after(new Date(START_MS + 60_000).toUTCString()))), 60_000);
  t.equal(await pauseMs(answered(503, after("86400"))), 600_000);
  t.equal(await pauseMs(answered(503, after("0"))), 750, "never sooner than it would be tried");
  t.equal(await pauseMs(answered(503, after("soon"))), 750);
  t.equal(await pauseMs(answered(500, after("120"))), 750);
});

t.test("what nobody takes for an hour is given up, and the next is told", async (t) => {
  const s = stage();
  s.always(answered(404));
  s.tell(3);
  await s.clock.advance(0);
  t.equal(s.waiting(), 3, "on its way is not told yet");
  await s.clock.advance(RETRY_FOR_MS);
  t.equal(s.counted()["told given-up"], 1);
  const last = s.log.find(({ message }) => message === "the webhook was not delivered; given up");
  t.match(last?.fields, { outcomes: 1, cause: "status-404" });
  s.always(answered(200));
  await s.clock.advance(RETRY_FOR_MS);
  t.same(s.numbers().at(-1), [2, 3]);
  t.match(s.counted(), { "told given-up": 1, "told delivered": 2 });
  t.equal(s.waiting(), 0);
});

t.test(
  "of more than a thousand that wait the oldest are dropped, counted and told of",
  async (t) => {
    const s = stage();
    s.always(answered(503));
    s.tell();
    await s.clock.advance(0);
    s.tell(1007);
    await s.clock.advance(0);
    t.equal(s.counted()["told dropped"], 7);
    const dropping = s.log.filter(({ message }) => message.startsWith("too many unknown outcomes"));
    t.equal(dropping.length, 1, "said once");
    s.always(answered(200));
    await s.clock.advance(2 * SECOND_MS);
    await s.clock.advance(INTERVAL_MS);
    t.same(
      s.numbers().at(-1),
      Array.from({ length: 100 }, (_, i) => i + 9),
    );
    t.match(s.posted.at(-1)?.told.data, { count: 100, waiting: 900, dropped: 7 });
    await s.clock.advance(INTERVAL_MS);
    t.match(s.posted.at(-1)?.told.data, { count: 100, waiting: 800, dropped: 0 });
  },
);

t.test("a stop tells what waits at once, without the interval", async (t) => {
  const s = stage();
  s.tell();
  await s.clock.advance(0);
  s.tell(101);
  await s.webhook.close();
  t.same(
    s.numbers().map(({ length }) => length),
    [1, 100, 1],
  );
  t.equal(s.clock.monotonicMs(), 0);
  t.notOk(s.log.some(({ message }) => message.includes("before the stop")));
});

t.test("a stop tries once more and says how many were not told", async (t) => {
  const s = stage();
  s.always(answered(503));
  s.tell();
  await s.clock.advance(0);
  s.tell(4);
  await s.webhook.close();
  t.equal(s.posted.length, 2);
  t.same(s.log.at(-1), {
    message: "unknown outcomes were not told before the stop",
    fields: { outcomes: 5 },
  });
  t.equal(s.counted()["told given-up"], 5);
});

t.test("a receiver that says nothing holds a stop up for five seconds at most", async (t) => {
  const s = stage();
  s.always("silent");
  s.tell();
  await s.clock.advance(2 * SECOND_MS);
  let closedMs: number | undefined;
  const closing = s.webhook.close().then(() => (closedMs = s.clock.monotonicMs()));
  await s.clock.advance(20 * SECOND_MS);
  await closing;
  t.equal(closedMs, 7 * SECOND_MS);
  t.match(s.log.at(-1)?.fields, { outcomes: 1 });
});

t.test("a stop with nothing left is over at once", async (t) => {
  const s = stage();
  s.tell();
  await s.clock.advance(0);
  await s.webhook.close();
  t.same(s.counted(), { "called delivered": 1, "told delivered": 1 });
});
