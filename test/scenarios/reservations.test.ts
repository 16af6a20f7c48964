/**
 * Reservations: two people book the same date and time at the same moment. The upstream looks whether the slot is free,
 * and by the time it writes the booking down somebody else may have done the same.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { call, type Answer } from "../support/client.ts";
import { exampleSettings, inEveryDeployment } from "../support/setups.ts";
import { writeAnswer, type Responder } from "../support/upstream.ts";

interface Booking {
  readonly id: number;
  readonly slot: string;
  readonly name: string;
}

class Calendar {
  bookings: Booking[] = [];
  posts = 0;
  deletes = 0;
  /** What POST answers instead of booking. */
  failing: number | undefined;
  /** Bookings of this name wait for it. */
  readonly held = new Map<string, Promise<void>>();
  readonly respond: Responder = async (request, _req, res) => {
    const answer = (status: number, body: unknown, headers: readonly string[] = []): void =>
      writeAnswer(res, {
        status,
        headers: ["Content-Type", "application/json", ...headers],
        body: JSON.stringify(body),
      });
    if (request.method === "DELETE") {
      this.deletes += 1;
      const left = this.bookings.filter(({ id }) => `/reservations/${id}` !== request.url);
      const found = left.length < this.bookings.length;
      this.bookings = left;
      return answer(found ? 204 : 404, {});
    }
    this.posts += 1;
    if (this.failing !== undefined) return answer(this.failing, { error: "not now" });
    const { date, time, name } = JSON.parse(request.body.toString()) as Record<string, string>;
    const slot = `${date} ${time}`;
    const taken = this.bookings.some((booking) => booking.slot === slot);
    for (let turn = 0; turn < 5; turn += 1) await nextTurn();
    await this.held.get(name ?? "");
    if (taken) return answer(500, { error: "the upstream did not expect this" });
    const id = this.posts;
    this.bookings.push({ id, slot, name: name ?? "" });
    answer(200, { id, date, time, name }, ["Location", `/reservations/${id}`]);
  };

  hold(name: string): () => void {
    let release = (): void => undefined;
    this.held.set(name, new Promise((resolve) => (release = resolve)));
    return release;
  }
}

let calendar = new Calendar();
const newCalendar = (): Responder => {
  calendar = new Calendar();
  return calendar.respond;
};

const EXAMPLE = exampleSettings("reservations");
const at = (time: string) => ({ date: "2026-03-01", time });

function book(url: string, who: string, slot: object, key?: string): Promise<Answer> {
  return call(`${url}/reservations`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Authorization: `Bearer of-${who}`,
      ...(key !== undefined && { "Idempotency-Key": key }),
    },
    body: JSON.stringify({ ...slot, name: who, phone: `secret of ${who}` }),
  });
}

const cancel = (url: string, location: string): Promise<Answer> =>
  call(`${url}${location}`, { method: "DELETE" });

await inEveryDeployment(
  "of those who want a slot at one moment one has it; the others are told what was first, and nothing of whose",
  EXAMPLE,
  newCalendar,
  async (t, { url }) => {
    const slot = at("19:00");
    const answers = await Promise.all([
      book(url(0), "ann", slot, "a1"),
      book(url(1), "bob", slot, "b1"),
    ]);
    const [won, lost] = answers.toSorted((a, b) => a.status - b.status);
    t.match([won?.status, lost?.status], [200, 409]);
    t.match([calendar.posts, calendar.bookings.length], [1, 1]);
    const winner = calendar.bookings[0]?.name ?? "";
    const [loser, keys] = winner === "ann" ? ["bob", ["a1", "b1"]] : ["ann", ["b1", "a1"]];

    const location = won?.header("Location") ?? "";
    const problem = lost?.json() ?? {};
    const original = { method: "POST", target: "/reservations", status: 200, location };
    t.match([problem["code"], problem["original"]], ["conflict", original]);
    t.match((problem["original"] as { createdAt: string }).createdAt, /^20\d\d-.*Z$/);
    t.equal(lost?.header("x-should-retry"), "false");
    const told = JSON.stringify([lost?.pairs, lost?.body.toString()]);
    for (const secret of [winner, "secret", "phone", "Bearer", "19:00"]) {
      t.notMatch(told, secret, "nothing of the other's payload");
    }
    t.notMatch(told, won?.header("Idempotency-Record") ?? "", "nor its record");

    const again = await book(url(0), loser, slot, keys[1]);
    t.match([again.status, again.json()["original"]], [409, problem["original"]]);
    const replayed = await book(url(1), winner, slot, keys[0]);
    t.match([replayed.status, replayed.header("Idempotency-Status")], [200, "replayed"]);
    t.equal(replayed.body.toString(), won?.body.toString());
    t.equal(calendar.posts, 1);

    const crowd = Array.from({ length: 20 }, (_, n) => book(url(n), `p${n}`, at("21:00")));
    const statuses = (await Promise.all(crowd)).map(({ status }) => status).toSorted();
    t.same(statuses, [200, ...Array.from({ length: 19 }, () => 409)], "without keys as well");
    t.match([calendar.posts, calendar.bookings.length], [2, 2]);
  },
);

await inEveryDeployment(
  "another slot does not wait for a booking that takes its time; cancelling frees the slot, once, and only its own",
  EXAMPLE,
  newCalendar,
  async (t, { url, upstream }) => {
    const release = calendar.hold("slow");
    const slow = book(url(0), "slow", at("18:00"));
    await upstream.arrived(1);
    const first = await book(url(0), "ann", at("19:00"));
    const elsewhere = await book(url(1), "bob", { ...at("18:00"), date: "2026-03-02" });
    t.match([first.status, elsewhere.status], [200, 200]);
    t.equal(calendar.bookings.length, 2, "while the first is still on its way");
    release();
    t.equal((await slow).status, 200);
    t.equal(calendar.posts, 3);

    const location = first.header("Location") ?? "";
    t.equal((await cancel(url(1), location)).status, 204);
    t.equal((await book(url(0), "eve", at("18:00"))).status, 409, "the other slot stays taken");
    t.equal((await book(url(0), "bob", at("19:00"), "b1")).status, 200, "free again");
    t.equal((await cancel(url(0), location)).status, 404, "there is no such booking any more");
    t.equal((await book(url(1), "eve", at("19:00"))).status, 409, "the new one is not freed by it");
    t.match([calendar.posts, calendar.deletes, calendar.bookings.length], [4, 2, 3]);
  },
);

await inEveryDeployment(
  "an attempt that fails leaves the slot free; one whose outcome is unknown does not; one that names none takes none",
  EXAMPLE,
  newCalendar,
  async (t, { url }) => {
    const slot = at("19:00");
    for (const status of [503, 500, 422]) {
      calendar.failing = status;
      const failed = await book(url(0), "ann", slot, `a${status}`);
      t.equal(failed.status, status, "the upstream's own answer");
    }
    calendar.failing = undefined;
    const recorded = await book(url(1), "ann", slot, "a422");
    t.match([recorded.status, recorded.header("Idempotency-Status")], [422, "replayed"]);
    t.equal(calendar.posts, 3);
    t.equal((await book(url(1), "bob", slot, "b1")).status, 200);
    t.match([calendar.posts, calendar.bookings.length], [4, 1]);

    calendar.failing = 502;
    t.equal((await book(url(0), "ann", at("20:00"), "a1")).status, 502);
    calendar.failing = undefined;
    const refused = await book(url(1), "bob", at("20:00"), "b2");
    // The upstream may still be at it: the slot's lock ends with its lease, and then it is `outcome-unknown`.
    t.match([refused.status, refused.json()["code"]], [409, "resource-locked"]);
    t.match([calendar.posts, calendar.bookings.length], [5, 1]);

    const vague = await book(url(0), "ann", { date: "2026-03-01" }, "a2");
    t.match([vague.status, vague.json()["code"]], [400, "resource-unnamed"]);
    t.match(String(vague.json()["detail"]), /\/time/);
    t.equal((await book(url(1), "ann", at("21:00"), "a2")).status, 200, "the key is free");
    t.equal(calendar.posts, 6);
  },
);
