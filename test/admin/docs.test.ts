import { readFile } from "node:fs/promises";
import t from "tap";
import { REFUSALS } from "../../src/admin/reply.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { IDS } from "./desk.ts";
import { startPort } from "./port.ts";

const page = await readFile("docs/records-api.md", "utf8");

/** The JSON that the page shows as printed. */
const printed = page
  .split("\n")
  .filter((line) => line.startsWith("{"))
  .map((line) => JSON.parse(line) as Record<string, unknown>);

t.test("the page's table of refusals is the code's", async (t) => {
  const rows = [...page.matchAll(/^\| (\d{3}) +\| (`[a-z-]+`(?:, `[a-z-]+`)*) +\|/gm)];
  const told = rows.flatMap(([, status, codes = ""]) =>
    codes.split(", ").map((code) => `${status} ${code.replaceAll("`", "")}`),
  );
  const real = Object.entries(REFUSALS).map(([code, [status]]) => `${status} ${code}`);
  t.strictSame(told.toSorted(), real.toSorted());
});

t.test(
  "the records that the page shows have the members that the API gives, in order",
  async (t) => {
    const { ask } = await startPort(t);
    const members = async (id: string) =>
      Object.keys((await ask(`/v1/records/${id}`)).json).filter((name) => name !== "replays");
    const real = new Map([
      ["in-flight", await members(IDS.inFlight)],
      ["unknown", await members(IDS.unknown)],
      ["completed", await members(IDS.completed)],
      ["resolved", await members(IDS.resolved)],
    ]);
    const alone = printed.filter((document) => Object.hasOwn(document, "state"));
    for (const { state, replays } of alone) {
      t.equal(Array.isArray(replays), state === "completed", String(state));
    }
    const shown = alone.map((document) =>
      Object.fromEntries(Object.entries(document).filter(([name]) => name !== "replays")),
    );
    const records = [...shown, ...printed.flatMap((document) => document.records ?? [])];
    t.equal(records.length, 6);
    for (const record of records as { state: string; status?: number | null }[]) {
      const kind = record.status === null ? "resolved" : record.state;
      t.strictSame(Object.keys(record), real.get(kind), kind);
    }
  },
);

t.test(
  "the page's exchange over a real store: list, resolve, show, and the refusal to forget",
  async (t) => {
    const store = createMemoryStore({ now: Date.now });
    t.teardown(() => store.close());
    const { ask } = await startPort(t, { desk: store });
    const claim = {
      fingerprint: "0".repeat(64),
      method: "POST",
      target: "/v1/charges?expand=customer",
      route: "charges",
      claimedBy: "gateway/1",
      leaseMs: 32_000,
      unknownRetentionMs: 60_000,
      onUnknown: "block",
    } as const;
    await store.claim({ ...claim, id: IDS.unknown, token: "a".repeat(32) });
    await store.markUnknown(IDS.unknown, "a".repeat(32), "timeout", 60_000);
    await store.claim({ ...claim, id: IDS.inFlight, token: "b".repeat(32) });
    const first = await ask("/v1/records?limit=1");
    const second = await ask(`/v1/records?cursor=${encodeURIComponent(String(first.json.cursor))}`);
    const listed = [first, second].flatMap(({ json }) => json.records as { id: string }[]);
    t.strictSame(listed.map(({ id }) => id).toSorted(), [IDS.inFlight, IDS.unknown]);
    const resolved = await ask(`/v1/records/${IDS.unknown}/resolve`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: '{"outcome": "executed"}',
    });
    t.equal(resolved.status, 200);
    t.match((await ask(`/v1/records/${IDS.unknown}`)).json, { state: "completed", status: null });
    const refused = await ask(`/v1/records/${IDS.inFlight}`, { method: "DELETE" });
    t.strictSame(refused.json, printed.at(-1), "word for word");
    const lost = await store.complete(
      IDS.unknown,
      "a".repeat(32),
      { status: 201, headers: [], body: undefined },
      60_000,
    );
    t.strictSame(lost, { kind: "lost" }, "the owner's late answer does not undo the decision");
  },
);
