import { bundled } from "../support/bundled.ts";
/**
 * The window that is left: a gateway that stands still between its last look at the lease and the first byte sends when
 * it goes on. It is still the only send of a POST.
 */
import t from "tap";
import { LASTING } from "../process/store-places.ts";
import { outcomeOf, type Shot } from "./book.ts";
import { inFlight, openLane } from "./lane.ts";
import { isStopped, until } from "./pauses.ts";

for (const store of LASTING) {
  t.test(`${store}: paused right before the first byte, a POST is sent once, late`, async (q) => {
    const lane = await openLane(q, store);
    const { book, ledger } = lane;
    const main = await bundled(q, "test/crash/gateway.ts");
    const [paused, other] = await Promise.all([lane.start({ main, armed: "late" }), lane.start()]);
    const shot: Shot = {
      method: "POST",
      path: "/late/pause/before-first-byte/post",
      key: "late",
      scope: "caller",
      body: "x",
    };
    const first = book.send(paused.url, shot);
    await until(() => isStopped(paused.pid));
    await until(async () => (await inFlight(other)).length === 0);
    const elsewhere = await book.send(other.url, shot);
    q.equal(outcomeOf(elsewhere), "outcome-unknown", "not sent by another gateway");
    q.equal(ledger.count(), 0, "upstream calls while it stands still");
    paused.signal("SIGCONT");
    q.comment(`its client was told ${outcomeOf(await first)}`);
    // Once its owner has written down what it knows, everybody is told the same.
    const told = await Promise.all([paused, other].map(({ url }) => book.send(url, shot)));
    q.equal(outcomeOf(told[0]), outcomeOf(told[1]));
    q.same(book.judge(store, ledger), []);
    q.ok(ledger.count() <= 1, "upstream calls");
    q.equal(await paused.end("SIGTERM"), 0);
  });
}
