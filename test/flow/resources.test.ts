/** What a write to a resource does when time, the store or another write comes between. */
import t from "tap";
import type { ResourcePolicy, Route } from "../../src/core/policy.ts";
import { nameResource } from "../../src/core/resource-name.ts";
import { answered, DEADLINE_MS, newLine, type Line } from "../support/flow.ts";
import { newPolicy } from "../support/policy.ts";
import { quiet } from "../support/virtual-clock.ts";

const UNKNOWN_MS = 200_000;
/** Longer than a lock's lease. */
const PAUSE_MS = 4 * DEADLINE_MS;

const RULES: ResourcePolicy = {
  id: { from: "path" },
  serialize: "wait",
  precondition: "off",
  put: "upsert",
  once: false,
  afterDelete: undefined,
};

function route(name: string, method: string, path: string, rules: Partial<ResourcePolicy>): Route {
  const retention = { completedMs: 86_400_000, unknownMs: UNKNOWN_MS };
  const policy = newPolicy({ route: name, retention, resource: { ...RULES, ...rules } });
  return { methods: [method], path, policy };
}

/** Keys outlive the pauses here, so that it is the lock that ends. */
const lineOf = (...routes: readonly Route[]): Line => newLine({ routes, leaseMs: 10 * PAUSE_MS });

t.test(
  "paused past its lock's lease between the look and the write: nothing is sent",
  async (t) => {
    const line = lineOf(route("lamps", "PUT", "/lamps/:id", { precondition: "honour" }));
    line.respond((sent) => {
      if (sent.request.method === "GET") line.clock.jump(PAUSE_MS);
      return answered(200, "on");
    });
    const ask = { method: "PUT", target: "/lamps/1", headers: [["If-Match", "*"]] as const };
    const told = await line.ask(ask);
    t.match([told.status, told.problem()["code"]], [504, "upstream-unreachable"]);
    t.match(told.report, { outcome: "upstream-unreachable", cause: "lease-over" });
    t.same(
      line.sent.map(({ request }) => request.method),
      ["GET"],
    );
    t.equal(await line.record(), undefined, "the key is free");
    line.respond(() => answered(200, "on"));
    t.equal((await line.ask(ask)).status, 200);
  },
);

t.test(
  "a time-out leaves the lock to its lease: the next write does not run beside it",
  async (t) => {
    const line = lineOf(route("lamps", "PUT", "/lamps/:id", {}));
    line.respond(() => ({ kind: "unknown", reason: "timeout", cause: "deadline-over" }));
    const ask = { method: "PUT", target: "/lamps/1", key: null };
    t.equal((await line.ask(ask)).status, 504);
    line.respond(() => answered(200));
    const next = line.ask(ask);
    await line.clock.advance(9000);
    t.equal(line.calls(), 1);
    await line.clock.advance(2000);
    t.match((await next).problem(), { code: "resource-locked" });
    line.clock.jump(PAUSE_MS);
    t.equal((await line.ask(ask)).status, 200);
    t.equal(line.calls(), 2);
  },
);

t.test(
  "nor where the store was away just then: remembering it later does not give the lock back",
  async (t) => {
    const line = lineOf(route("lamps", "DELETE", "/lamps/:id", {}));
    line.respond(() => {
      line.fail("writeCell", "down");
      return { kind: "unknown", reason: "timeout", cause: "deadline-over" };
    });
    const ask = { method: "DELETE", target: "/lamps/1" };
    t.equal((await line.ask({ ...ask, key: "a" })).status, 504);
    line.respond(() => answered(204));
    await line.clock.advance(1000);
    t.equal(line.asked("writeCell"), 2, "it is remembered by now");
    const next = line.ask({ ...ask, key: "b" });
    await line.clock.advance(11_000);
    t.match((await next).problem(), { code: "resource-locked" });
    t.equal(line.calls(), 1);
    line.clock.jump(PAUSE_MS);
    t.equal((await line.ask({ ...ask, key: "b" })).status, 204);
    t.equal(line.calls(), 2);
  },
);

t.test(
  "a slot whose taker is unknown and has no record is taken for as long as a record would be",
  async (t) => {
    const line = lineOf(route("slots", "POST", "/slots/:id", { once: true }));
    const ask = { target: "/slots/1", key: null };
    line.respond(() => ({ kind: "unknown", reason: "reset", cause: "ECONNRESET" }));
    t.equal((await line.ask(ask)).status, 502);
    line.respond(() => answered(201));
    line.clock.jump(UNKNOWN_MS - 1000);
    t.match((await line.ask(ask)).problem(), {
      code: "outcome-unknown",
      original: { method: "POST" },
    });
    t.equal(line.calls(), 1);
    line.clock.jump(2000);
    t.equal((await line.ask(ask)).status, 201);
    t.match((await line.ask(ask)).problem(), { code: "conflict" });
    t.equal(line.calls(), 2);
  },
);

t.test("a cancellation frees its slot also when the store was away just then", async (t) => {
  const line = lineOf(
    route("slots", "POST", "/slots", { id: { from: "body", pointers: ["/at"] }, once: true }),
    route("cancel", "DELETE", "/slots/:id", { serialize: "off" }),
  );
  line.respond(() => answered(201, "", [["Location", "slots/7"]]));
  const book = { target: "/slots", key: null, body: '{"at":1}' };
  t.equal((await line.ask(book)).status, 201);
  t.match((await line.ask(book)).problem(), { code: "conflict" });
  line.respond(() => {
    line.fail("writeCell", "down", "down", "down");
    line.fail("readCell", "down", "down", "down");
    return answered(204);
  });
  t.equal((await line.ask({ method: "DELETE", target: "/slots/7", key: null })).status, 204);
  await line.clock.advance(5000);
  line.respond(() => answered(201));
  t.equal((await line.ask(book)).status, 201, "booked again");
  t.same(line.lost, []);
  t.equal(line.calls(), 3);
});

t.test(
  "a memory that the store lost is written anew, one that another has written is left",
  async (t) => {
    const line = lineOf(route("slots", "POST", "/slots/:id", { once: true }));
    const open = line.hold();
    const first = line.ask({ target: "/slots/1", key: "a" });
    const other = line.ask({ target: "/slots/2", key: "b" });
    await line.arrived(2);
    const [one, two] = [cellOf("/slots/1"), cellOf("/slots/2")];
    await line.store.writeCell(one, undefined, 1, 1000);
    const { cell } = await line.store.readCell(two);
    await line.store.writeCell(two, cell?.value, 1, 60_000);
    open();
    t.same([(await first).status, (await other).status], [201, 201]);
    await quiet();
    const later = await line.ask({ target: "/slots/1", key: "c" });
    t.match(later.problem(), { code: "conflict" });
    t.same(line.lost, ["remember"]);
    t.equal((await line.store.readCell(two)).cell?.revision, 2);
    t.equal(line.calls(), 2);
  },
);

function cellOf(path: string): string {
  const source = { method: "POST", path, query: "", parameters: new Map(), json: undefined };
  const name = nameResource(RULES.id, source);
  return name.kind === "named" ? name.id : "";
}
