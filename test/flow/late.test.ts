/** What the store does of a call after its gateway has given up on it: nothing that was not sent may stay behind. */
import t from "tap";
import type { ClaimRequest } from "../../src/core/record.ts";
import type { ResourcePolicy } from "../../src/core/policy.ts";
import { StoreUnavailable } from "../../src/core/ports.ts";
import { nameResource } from "../../src/core/resource-name.ts";
import { releaseLater } from "../../src/flow/later.ts";
import { answered, EPOCH_MS, LEASE_MS, newLine, type Line } from "../support/flow.ts";
import { newPolicy } from "../support/policy.ts";
import { quiet } from "../support/virtual-clock.ts";

/** The n-th token that this line has made. */
const tokenOf = (n: number): string => String(n).padStart(32, "0");

/** A claim of which the gateway heard nothing arrives at the store only now. */
function claimLate(line: Line, id: string, token: string, fingerprint = "f".repeat(64)) {
  const request: ClaimRequest = {
    id,
    token,
    fingerprint,
    method: "POST",
    target: "/v1/charges",
    route: "charges",
    claimedBy: "gateway/1",
    leaseMs: LEASE_MS,
    unknownRetentionMs: 259_200_000,
    onUnknown: "block",
  };
  return line.store.claim(request);
}

t.test("a claim done after it was given back is given back again: the key is free", async (t) => {
  const line = newLine();
  line.fail("claim", "down", "down");
  const refused = await line.ask();
  t.equal(refused.status, 503);
  await line.clock.advance(60);
  t.equal(line.asked("release"), 1, "given back before it was there");
  const id = refused.header("Idempotency-Record") ?? "";
  t.match(await claimLate(line, id, tokenOf(1)), { kind: "granted" });
  t.equal((await line.ask()).status, 409, "until then it is somebody's");
  await line.clock.advance(2000);
  t.equal(await line.record(), undefined);
  t.equal((await line.ask()).status, 201);
  t.equal(line.calls(), 1);
  t.same(line.lost, []);
});

t.test(
  "a claim that the store has refused is not given back: there is nothing to give",
  async (t) => {
    const line = newLine();
    line.fail("claim", "full", "full");
    t.equal((await line.ask()).status, 503);
    await line.clock.advance(5000);
    t.equal(line.asked("release"), 0);
    t.equal(line.calls(), 0);
  },
);

t.test("claims in doubt by the thousand leave a sick store in peace", async (t) => {
  const claims = 2000;
  let nowMs = 0;
  let asked = 0;
  const sleepers = new Map<() => void, number>();
  const line = newLine();
  const deps = {
    store: {
      ...line.store,
      release: () => {
        asked += 1;
        return Promise.reject(new StoreUnavailable("away"));
      },
    },
    clock: {
      monotonicMs: () => nowMs,
      sleep: (ms: number) => new Promise<void>((wake) => sleepers.set(wake, nowMs + ms)),
    },
    background: () => undefined,
    limits: {
      leaseMs: LEASE_MS,
      deadlineMs: LEASE_MS,
      lateClaimMs: 300,
      lockLeaseMs: LEASE_MS,
      resolvedMs: 0,
    },
  };
  async function passed(ms: number): Promise<void> {
    for (const endMs = nowMs + ms; nowMs < endMs; nowMs += 50) {
      for (const [wake, atMs] of sleepers) {
        if (atMs > nowMs) continue;
        sleepers.delete(wake);
        wake();
      }
      await quiet();
    }
  }
  for (let n = 0; n < claims; n += 1) releaseLater({ id: "", token: tokenOf(n) }, deps);
  await passed(10_000);
  asked = 0;
  await passed(10_000);
  t.ok(asked > claims, "each is tried again");
  t.ok(asked < 14_000, `${asked} times in ten seconds`);
});

t.test(
  "a waiting duplicate asks with a token of its own each time, and its lease is as long as it believes",
  async (t) => {
    const line = newLine({ policy: { onInFlight: "wait" } });
    line.hold();
    void line.ask();
    await line.arrived(1);
    const { id = "", fingerprint } = (await line.record()) ?? {};
    line.fail("claim", "works", "down");
    const waiting = line.ask();
    await quiet();
    t.equal(line.asked("claim"), 4, "asked, asked again behind the watch, and once more");
    await line.store.release(id, tokenOf(1));
    // The question that was lost arrives before the next one: granted to nobody.
    t.match(await claimLate(line, id, tokenOf(3), fingerprint), { kind: "granted" });
    await line.clock.advance(1000);
    await line.arrived(2);
    const sentMs = line.clock.monotonicMs();
    const record = await line.record();
    t.match(record, { state: "in-flight", token: tokenOf(5) });
    const leaseUntilMs = record?.state === "in-flight" ? record.leaseUntilMs : 0;
    t.ok(leaseUntilMs - EPOCH_MS - sentMs > LEASE_MS - 1000, "not what is left of the lost one's");
    t.equal(line.calls(), 2);
    void waiting;
  },
);

t.test(
  "a completion lost to another request's record: the caller gets its own answer, not that one's",
  async (t) => {
    const line = newLine();
    let respond = (): void => undefined;
    const open = new Promise<void>((resolve) => {
      respond = resolve;
    });
    line.respond(async (_, n) => {
      if (n === 1) await open;
      return answered(201, `call ${n}`);
    });
    const first = line.ask({ body: '{"amount":1}' });
    await line.arrived(1);
    await line.store.release((await line.record())?.id ?? "", tokenOf(1));
    const other = { body: '{"amount":2}' };
    t.equal((await line.ask(other)).text, "call 2");
    respond();
    const told = await first;
    t.match([told.status, told.text], [201, "call 1"]);
    t.equal(told.header("Idempotency-Status"), "not-recorded");
    t.equal((await line.ask(other)).text, "call 2");
    t.same(line.lost, ["complete"]);
    t.equal(line.calls(), 2);
  },
);

const RULES: ResourcePolicy = {
  id: { from: "path" },
  serialize: "wait",
  precondition: "off",
  put: "upsert",
  once: true,
  afterDelete: undefined,
};

function newSlots(serialize: ResourcePolicy["serialize"] = "wait"): Line {
  const retention = { completedMs: 86_400_000, unknownMs: 259_200_000 };
  const resource = { ...RULES, serialize };
  const policy = newPolicy({ route: "slots", retention, resource });
  return newLine({ routes: [{ methods: ["POST", "DELETE"], path: "/slots/:id", policy }] });
}

function slotCell(): string {
  const parts = { method: "POST", path: "/slots/1", query: "", parameters: new Map() };
  const named = nameResource(RULES.id, { ...parts, json: undefined });
  return named.kind === "named" ? named.id : "";
}

t.test("a reservation that nobody heard of is taken back: the slot is free", async (t) => {
  const line = newSlots();
  // The first write of a cell is the lock's, which is not made by way of the failing store.
  line.fail("writeCell", "lost");
  const ask = { target: "/slots/1", key: null };
  t.equal((await line.ask(ask)).status, 503);
  t.equal(line.calls(), 0);
  await line.clock.advance(1000);
  t.equal((await line.ask(ask)).status, 201, "somebody else's, without a record to look at");
  t.equal(line.calls(), 1);
  t.same(line.lost, []);
});

t.test(
  "a retry that was never sent before frees the slot when the upstream refuses it",
  async (t) => {
    const line = newSlots();
    line.fail("writeCell", "lost");
    t.equal((await line.ask({ target: "/slots/1", key: "a" })).status, 503);
    await line.clock.advance(1000);
    line.respond(() => answered(422));
    t.equal((await line.ask({ target: "/slots/1", key: "a" })).status, 422);
    line.respond(() => answered(201));
    t.equal((await line.ask({ target: "/slots/1", key: "b" })).status, 201);
    t.equal(line.calls(), 2);
  },
);

t.test("a reservation that arrives after it was taken back owns nothing", async (t) => {
  const line = newSlots();
  line.fail("writeCell", "down");
  t.equal((await line.ask({ target: "/slots/1", key: null })).status, 503);
  await line.clock.advance(1000);
  const late = new TextEncoder().encode("{}");
  t.equal(await line.store.writeCell(slotCell(), late, 0, 1000), "lost");
});

t.test(
  "a lock that is lost: what is taken back is one's own reservation, not another's",
  async (t) => {
    // As with a lock that let two in.
    const line = newSlots("off");
    line.fail("writeCell", "down");
    t.equal((await line.ask({ target: "/slots/1", key: "a" })).status, 503);
    const respond = line.hold();
    const second = line.ask({ target: "/slots/1", key: "b" });
    await line.arrived(1);
    await line.clock.advance(5000);
    line.respond(() => answered(201));
    t.equal((await line.ask({ target: "/slots/1", key: "c" })).status, 409, "the second has it");
    respond();
    t.equal((await second).status, 201);
    t.equal(line.calls(), 1);
  },
);

t.test("what is remembered of a slot never begins at its first revision again", async (t) => {
  const line = newSlots();
  line.respond(() => answered(422));
  t.equal((await line.ask({ target: "/slots/1", key: "a" })).status, 422);
  const { cell } = await line.store.readCell(slotCell());
  t.equal(cell?.revision, 2, "reserved, and freed by a write of its own");
  const old = new TextEncoder().encode("{}");
  t.equal(await line.store.writeCell(slotCell(), old, 0, 1000), "lost");
  t.equal(await line.store.writeCell(slotCell(), old, 1, 1000), "lost");
});
