/**
 * Every row of the status table, on each store and by each profile and a route's own status: what the caller is told,
 * header by header and member by member, and how often the upstream was called.
 */
import type { Test } from "tap";
import type { StoreName } from "../support/gateway.ts";
import { checkOwn, checkRefusal } from "../support/problem.ts";
import { BODY, DAY_MS, newKey, startScene, TARGET, type Ask, type SceneSettings } from "../support/scene.ts"; // prettier-ignore
import { startBreakableScene, startDeafUpstream } from "../support/trouble.ts";
import { startUpstream } from "../support/upstream.ts";

const DOCS = "https://docs.example/keys";
const LINK = `<${DOCS}>; rel="describedby"`;
const LIMIT = 1024;
const ONCE = { method: "POST", target: TARGET };
const MADE = { ...ONCE, status: 201, location: "/v1/charges/1" };

/** A column of the table. `own` sets every status that a route can set. */
const VARIANTS = ["default", "ietf", "stripe", "own"] as const;
type Variant = (typeof VARIANTS)[number];

const OWN_STATUS = {
  keyMissing: 451,
  keyInvalid: 452,
  keyReused: 453,
  inFlight: 454,
  outcomeUnknown: 455,
  notReplayable: 456,
  bodyTooLarge: 457,
  storeUnavailable: 555,
};

function settingsOf(variant: Variant, more: SceneSettings = {}): SceneSettings {
  return {
    ...more,
    defaults: {
      ...(variant === "own" ? { status: OWN_STATUS } : { profile: variant }),
      docsUrl: DOCS,
      limits: { requestBytes: `${LIMIT}B`, responseBytes: `${LIMIT}B` },
      ...more.defaults,
    },
  };
}

interface Row {
  readonly name: string;
  readonly statuses: Readonly<Record<Variant, number>>;
  readonly show: (at: Place) => Promise<void>;
}

/** A cell of the table on one store. */
interface Place {
  readonly t: Test;
  /** The file's root test. */
  readonly root: Test;
  readonly store: StoreName;
  readonly variant: Variant;
  readonly status: number;
}

const ROWS: readonly Row[] = [
  {
    name: "a required key is missing: refused, and the upstream is not called",
    statuses: { default: 428, ietf: 400, stripe: 400, own: 451 },
    show: async ({ t, root, store, variant, status }) => {
      const scene = await startScene(t, root, store, settingsOf(variant, { defaults: { key: { required: true } } })); // prettier-ignore
      checkRefusal(t, await scene.ask(), { code: "key-missing", status, link: LINK });
      t.equal(scene.upstream.count(), 0);
    },
  },
  {
    name: "a key that is none: refused, and the upstream is not called",
    statuses: { default: 400, ietf: 400, stripe: 400, own: 452 },
    show: async ({ t, root, store, variant, status }) => {
      const scene = await startScene(t, root, store, settingsOf(variant));
      for (const key of INVALID_KEYS) {
        t.comment(JSON.stringify(key).slice(0, 60));
        checkRefusal(t, await scene.ask({ key }), { code: "key-invalid", status, link: LINK });
      }
      t.equal(scene.upstream.count(), 0);
    },
  },
  {
    name: "a key with another request: refused while it runs and after, and the upstream is not called again",
    statuses: { default: 409, ietf: 422, stripe: 400, own: 453 },
    show: async ({ t, root, store, variant, status }) => {
      const scene = await startScene(t, root, store, settingsOf(variant));
      const key = newKey();
      const gate = scene.upstream.hold();
      const first = scene.ask({ key });
      await scene.upstream.arrived(1);
      const refused = { code: "key-reused", status, key, record: true, link: LINK } as const;
      for (const other of OTHER_REQUESTS) {
        checkRefusal(t, await scene.ask({ key, ...other }), { ...refused, original: ONCE });
      }
      gate.release();
      const record = checkOwn(t, await first, { status: 201, word: "executed", key, record: true, expiresInMs: DAY_MS }); // prettier-ignore
      for (const other of OTHER_REQUESTS) {
        checkRefusal(t, await scene.ask({ key, ...other }), { ...refused, record, original: MADE, expiresInMs: DAY_MS }); // prettier-ignore
      }
      t.equal(scene.upstream.count(), 1);
    },
  },
  {
    name: "the first request is still in flight: refused with Retry-After, then its answer",
    statuses: { default: 409, ietf: 409, stripe: 409, own: 454 },
    show: async ({ t, root, store, variant, status }) => {
      const scene = await startScene(t, root, store, settingsOf(variant));
      const key = newKey();
      const gate = scene.upstream.hold();
      const first = scene.ask({ key });
      await scene.upstream.arrived(1);
      const record = checkRefusal(t, await scene.ask({ key }), { code: "in-flight", status, key, record: true, retryAfterS: [1, 5], link: LINK, original: ONCE }); // prettier-ignore
      gate.release();
      checkOwn(t, await first, { status: 201, word: "executed", key, record, expiresInMs: DAY_MS });
      const retry = await scene.ask({ key });
      checkOwn(t, retry, { status: 201, word: "replayed", key, record, expiresInMs: DAY_MS });
      t.equal(retry.body.toString(), "execution 1");
      t.equal(scene.upstream.count(), 1);
    },
  },
  {
    name: "nobody knows the outcome: the caller is told by the gateway's own status, the retry is refused and not sent",
    statuses: { default: 409, ietf: 409, stripe: 409, own: 455 },
    show: async ({ t, root, store, variant, status }) => {
      const scene = await startScene(t, root, store, settingsOf(variant));
      const key = newKey();
      scene.upstream.respond((_call, req) => void req.socket.resetAndDestroy());
      const unknown = { code: "outcome-unknown", key, record: true, link: LINK } as const;
      const record = checkRefusal(t, await scene.ask({ key }), { ...unknown, status: 502 });
      for (let tries = 0; tries < 2; tries += 1) {
        checkRefusal(t, await scene.ask({ key }), { ...unknown, status, record, expiresInMs: 3 * DAY_MS }); // prettier-ignore
      }
      t.equal(scene.upstream.count(), 1);
    },
  },
  {
    name: "completed, but its body was not kept: refused with what is known of the answer",
    statuses: { default: 409, ietf: 409, stripe: 409, own: 456 },
    show: async ({ t, root, store, variant, status }) => {
      const scene = await startScene(t, root, store, settingsOf(variant));
      const key = newKey();
      const body = Buffer.alloc(LIMIT + 1, "x");
      scene.upstream.respond(undefined);
      scene.upstream.answer({ status: 201, headers: ["Location", "/v1/charges/1", "X-Payload", "no"], body }); // prettier-ignore
      const first = await scene.ask({ key });
      const record = checkOwn(t, first, { status: 201, word: "executed", key, record: true, expiresInMs: DAY_MS }); // prettier-ignore
      t.ok(first.body.equals(body), "the first caller gets the whole answer");
      const retry = await scene.ask({ key });
      checkRefusal(t, retry, { code: "not-replayable", status, key, record, expiresInMs: DAY_MS, link: LINK, original: MADE }); // prettier-ignore
      t.equal(scene.upstream.count(), 1);
    },
  },
  {
    name: "a body over the limit, announced or chunked: refused, nothing is claimed, and at the limit it is sent",
    statuses: { default: 413, ietf: 413, stripe: 413, own: 457 },
    show: async ({ t, root, store, variant, status }) => {
      const scene = await startScene(t, root, store, settingsOf(variant));
      const key = newKey();
      const framings = [{}, { "Transfer-Encoding": "chunked" }];
      for (const headers of framings) {
        const refused = await scene.ask({ key, headers, body: "x".repeat(LIMIT + 1) });
        checkRefusal(t, refused, { code: "body-too-large", status, key, record: true, link: LINK });
      }
      t.equal(scene.upstream.count(), 0);
      const sent = await scene.ask({ key, body: "x".repeat(LIMIT) });
      checkOwn(t, sent, { status: 201, word: "executed", key, record: true, expiresInMs: DAY_MS });
      t.equal(scene.upstream.count(), 1);
    },
  },
  {
    name: "the store cannot be reached: refused and not sent; once it is back the retry executes",
    statuses: { default: 503, ietf: 503, stripe: 503, own: 555 },
    show: async ({ t, root, store, variant, status }) => {
      const scene = await startBreakableScene(t, root, store, settingsOf(variant));
      const key = newKey();
      await scene.breakStore();
      const record = checkRefusal(t, await scene.ask({ key }), { code: "store-unavailable", status, key, record: true, retryAfterS: [1, 1], link: LINK }); // prettier-ignore
      t.equal(scene.upstream.count(), 0);
      await scene.healStore();
      const retry = await scene.ask({ key });
      checkOwn(t, retry, { status: 201, word: "executed", key, record, expiresInMs: DAY_MS });
      t.equal(scene.upstream.count(), 1);
    },
  },
  {
    name: "the upstream refuses the connection: 502 and nothing sent; once it is there the retry executes",
    statuses: { default: 502, ietf: 502, stripe: 502, own: 502 },
    show: async ({ t, root, store, variant, status }) => {
      const scene = await startScene(t, root, store, settingsOf(variant));
      const key = newKey();
      await scene.upstream.close();
      const record = checkRefusal(t, await scene.ask({ key }), { code: "upstream-unreachable", status, key, record: true, retryAfterS: [1, 5], link: LINK }); // prettier-ignore
      t.equal(await scene.record(record), undefined, "the key is free");
      t.equal(scene.upstream.count(), 0);
      const back = await startUpstream(t, { port: scene.upstream.port, answer: { body: "back" } });
      const retry = await scene.ask({ key });
      checkOwn(t, retry, { status: 200, word: "executed", key, record, expiresInMs: DAY_MS });
      t.equal(back.count(), 1);
    },
  },
  {
    name: "connecting to the upstream takes too long: 504 and nothing sent; once it listens the retry executes",
    statuses: { default: 504, ietf: 504, stripe: 504, own: 504 },
    show: async ({ t, root, store, variant, status }) => {
      const deaf = await startDeafUpstream(t);
      const upstream = { url: deaf.url, connectTimeout: "500ms" };
      const scene = await startScene(t, root, store, settingsOf(variant, { upstream }));
      const key = newKey();
      const record = checkRefusal(t, await scene.ask({ key }), { code: "upstream-unreachable", status, key, record: true, retryAfterS: [1, 5], link: LINK }); // prettier-ignore
      await deaf.listen();
      const retry = await scene.ask({ key });
      checkOwn(t, retry, { status: 200, word: "executed", key, record, expiresInMs: DAY_MS });
      t.equal(retry.body.toString(), "execution 3", "the first two were the test's own");
    },
  },
];

const INVALID_KEYS: readonly string[] = [
  "",
  '""',
  '"',
  '"abc',
  'abc"def"; x',
  '"abc"def',
  '"a\\bc"',
  '"abc";p=1',
  "abc;p=1",
  "abc, def",
  '"abc", "def"',
  "a b",
  "a\tb",
  '"a b"',
  "cl\u00e9",
  "cl\u00c3\u00a9",
  '"cl\u00e9"',
  "a\u00a0b",
  "x".repeat(256),
  `"${"x".repeat(256)}"`,
];

const OTHER_REQUESTS: readonly Ask[] = [
  { method: "PUT" },
  { target: "/v1/refunds" },
  { target: `${TARGET}?dry=1` },
  { target: `${TARGET}/` },
  { body: '{"amount":101}' },
  { body: null },
  { body: `${BODY} ` },
  { headers: { "Content-Type": "text/plain" } },
  { headers: { "Content-Type": "application/vnd.api+json" } },
];

/** `root` is the file's root test. */
export function contract(root: Test, store: StoreName): void {
  for (const variant of VARIANTS) {
    root.test(`${store}, ${variant}`, async (t) => {
      for (const { name, statuses, show } of ROWS) {
        await t.test(`${name} (${statuses[variant]})`, (t) =>
          show({ t, root, store, variant, status: statuses[variant] }),
        );
      }
    });
  }
}
