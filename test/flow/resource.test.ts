/** A resource's guard with the store in trouble, and what of a request's conditions reaches the upstream. */
import t from "tap";
import type { ResourcePolicy } from "../../src/core/policy.ts";
import { answered, newLine, type Line } from "../support/flow.ts";
import { newPolicy } from "../support/policy.ts";

const UNLOCKED: ResourcePolicy = {
  id: { from: "path" },
  serialize: "off",
  precondition: "off",
  put: "upsert",
  once: false,
  afterDelete: undefined,
};
const REMEMBERS: ResourcePolicy = {
  ...UNLOCKED,
  serialize: "wait",
  afterDelete: { rememberMs: 3_600_000, put: 410, delete: "replay" },
};

const lineWith = (resource: ResourcePolicy): Line => {
  const policy = newPolicy({ route: "things", resource });
  return newLine({ routes: [{ methods: ["PUT", "DELETE"], path: "/things/:id", policy }] });
};
const PUT = { method: "PUT", target: "/things/1" } as const;
const DELETE = { method: "DELETE", target: "/things/1", key: null, body: "" } as const;

t.test("no lock and no memory to read: 503, nothing is sent, and the key is free", async (t) => {
  const line = lineWith(UNLOCKED);
  for (const key of ["key-1", null]) {
    line.fail("readCell", "down");
    const told = await line.ask({ ...PUT, key });
    t.same([told.status, told.report.outcome], [503, "store-unavailable"]);
    t.equal(await line.record(), undefined);
  }
  line.fail("readCell", "corrupt");
  t.equal((await line.ask(PUT)).report.outcome, "record-corrupt");
  t.equal(line.calls(), 0);
  t.equal((await line.ask(PUT)).status, 201);
  t.equal(line.calls(), 1);
});

t.test(
  "a deletion that cannot be remembered yet keeps its lock until it is: the next PUT is refused",
  async (t) => {
    const line = lineWith(REMEMBERS);
    line.respond(() => answered(204));
    line.fail("writeCell", "down", "down");
    t.equal((await line.ask(DELETE)).status, 204);
    const next = line.ask(PUT);
    await line.clock.advance(1000);
    t.same([(await next).status, (await next).report.outcome], [410, "gone"]);
    t.same([line.calls(), line.lost], [1, []]);
  },
);

t.test(
  "a deletion that cannot be remembered is not told as recorded, and is recorded behind its memory",
  async (t) => {
    const line = lineWith(REMEMBERS);
    line.respond(() => answered(204));
    line.fail("writeCell", "down", "down");
    const ask = { ...DELETE, key: "key-1" };
    t.equal((await line.ask(ask)).report.outcome, "not-recorded");
    t.match(await line.record(), { state: "in-flight" });
    await line.clock.advance(1000);
    t.match(await line.record(), { state: "completed" });
    t.equal((await line.ask(ask)).report.outcome, "replayed");
    t.equal((await line.ask({ ...PUT, key: "key-2" })).report.outcome, "gone");
    t.same([line.calls(), line.lost], [1, []]);
  },
);

t.test(
  "a deletion that is never remembered is an unknown outcome, whose retry is not told that it holds",
  async (t) => {
    const line = lineWith(REMEMBERS);
    line.respond(() => answered(204));
    line.fail("writeCell", ...Array.from({ length: 200 }, () => "down" as const));
    const ask = { ...DELETE, key: "key-1" };
    t.equal((await line.ask(ask)).report.outcome, "not-recorded");
    await line.clock.advance(300_000);
    t.match(await line.record(), { state: "unknown" });
    t.same([line.calls(), line.lost], [1, ["remember", "complete"]]);
  },
);

t.test(
  "a process that stood still past its leases still remembers a deletion before it is told",
  async (t) => {
    const line = lineWith(REMEMBERS);
    line.respond(() => {
      line.clock.jump(300_000);
      return answered(204);
    });
    line.fail("writeCell", "down");
    const ask = { ...DELETE, key: "key-1" };
    t.equal((await line.ask(ask)).report.outcome, "not-recorded");
    await line.clock.advance(1000);
    t.equal((await line.ask({ ...PUT, key: "key-2" })).report.outcome, "gone");
    t.same([line.calls(), line.lost], [1, []]);
  },
);

t.test(
  "a deletion whose memory was damaged meanwhile gives its lock back and is counted",
  async (t) => {
    const line = lineWith(REMEMBERS);
    line.respond(() => answered(204));
    line.fail("writeCell", "corrupt");
    t.equal((await line.ask(DELETE)).status, 204);
    t.same(line.lost, ["remember"]);
    const next = line.ask(DELETE);
    await line.clock.advance(100);
    t.equal((await next).status, 204, "long before the lease is over");
    t.equal(line.calls(), 2);
  },
);

for (const [policy, tag, reaches] of [
  [{ precondition: "off" }, undefined, true],
  [{ precondition: "honour" }, undefined, false],
  [{ precondition: "honour" }, '"own"', true],
] as const) {
  const whose = tag === undefined ? "an upstream without tags" : "an upstream with its own";
  t.test(`update-only, precondition ${policy.precondition}, ${whose}`, async (t) => {
    const line = lineWith({ ...UNLOCKED, ...policy, serialize: "wait", put: "update-only" });
    line.respond(() => answered(200, "{}", tag === undefined ? [] : [["ETag", tag]]));
    const told = await line.ask({ ...PUT, key: null, headers: [["If-Match", tag ?? "*"]] });
    t.equal(told.status, 200);
    t.same(
      line.sent.map((sent) => [sent.request.method, sent.header("If-Match")]),
      [
        ["GET", undefined],
        ["PUT", reaches ? (tag ?? "*") : undefined],
      ],
    );
  });
}

t.test("If-None-Match: * reaches the upstream: it judges a creation in between", async (t) => {
  const line = lineWith({ ...UNLOCKED, precondition: "required", serialize: "wait" });
  line.respond(({ request }) => answered(request.method === "GET" ? 404 : 201));
  const told = await line.ask({ ...PUT, key: null, headers: [["If-None-Match", "*"]] });
  t.equal(told.status, 201);
  t.same([line.calls(), line.sent[1]?.header("If-None-Match")], [2, "*"]);
});
