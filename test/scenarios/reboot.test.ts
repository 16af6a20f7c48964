/**
 * Reboot: neither safe nor idempotent. With a key a retry does not reboot again; with a counter and If-Match nobody
 * reboots on what they have not looked at.
 */
import { call, type Answer } from "../support/client.ts";
import { exampleSettings, inEveryDeployment } from "../support/setups.ts";
import type { Responder } from "../support/upstream.ts";

/** Every POST reboots. The counter goes up by one at a time, and each step reboots. No ETag, no keys, no locks. */
class Canopy {
  times = 3;
  reboots = 0;
  puts = 0;

  readonly respond: Responder = async ({ method, url, body }, _req, res) => {
    const answer = (status: number, content: unknown): void => {
      res.writeHead(status, { "Content-Type": "application/json" });
      res.end(JSON.stringify(content));
    };
    if (method === "GET") return answer(200, this.times);
    if (method === "POST" && url === "/canopy/reboot") {
      this.times += 1;
      this.reboots += 1;
      return answer(202, { reboot: this.reboots });
    }
    this.puts += 1;
    const wanted = JSON.parse(body.toString()) as number;
    const { times } = this;
    await new Promise(setImmediate);
    if (wanted !== times + 1) return answer(409, { error: `the next one is ${times + 1}` });
    this.times = wanted;
    this.reboots += 1;
    return answer(200, this.times);
  };
}

let canopy = new Canopy();
const newCanopy = (): Responder => {
  canopy = new Canopy();
  return canopy.respond;
};

const reboot = (url: string, key?: string): Promise<Answer> =>
  call(`${url}/canopy/reboot`, {
    method: "POST",
    headers: key === undefined ? {} : { "Idempotency-Key": key },
  });

const count = (url: string, times: number, headers: Record<string, string>): Promise<Answer> =>
  call(`${url}/canopy/times_rebooted`, {
    method: "PUT",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(times),
  });

const etagOf = async (url: string): Promise<string> =>
  (await call(`${url}/canopy/times_rebooted`)).header("ETag") ?? "";

await inEveryDeployment(
  "any number of retries with one key reboot once and get the same 202; another key reboots again",
  exampleSettings("reboot"),
  newCanopy,
  async (t, { url, upstream }) => {
    const without = await reboot(url(0));
    t.match([without.status, without.json()["code"]], [428, "key-missing"]);
    t.equal(canopy.reboots, 0);

    const gate = upstream.hold();
    const atOnce = Array.from({ length: 20 }, (_, n) => reboot(url(n), "order-1"));
    await upstream.arrived(1);
    gate.release();
    const answers = await Promise.all(atOnce);
    for (let n = 0; n < 5; n += 1) answers.push(await reboot(url(n), "order-1"));
    for (const answer of answers) {
      t.same([answer.status, answer.json()], [202, { reboot: 1 }]);
    }
    t.equal(answers.filter((answer) => answer.header("Idempotent-Replayed") === "true").length, 24);
    t.match([canopy.reboots, upstream.count()], [1, 1]);

    const another = await reboot(url(1), "order-2");
    t.same([another.status, another.json()], [202, { reboot: 2 }]);
    t.match([canopy.reboots, upstream.count()], [2, 2]);
  },
);

await inEveryDeployment(
  "the counter with If-Match reboots once; a stale one is 412 and not sent",
  exampleSettings("reboot"),
  newCanopy,
  async (t, { url }) => {
    const etag = await etagOf(url(0));
    const blind = await count(url(1), 4, {});
    t.match([blind.status, blind.json()["code"]], [428, "precondition-required"]);
    t.equal(canopy.puts, 0);

    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => count(url(n), 4, { "If-Match": etag })),
    );
    const statuses = answers.map(({ status }) => status).toSorted();
    t.same(statuses, [200, ...Array.from({ length: 19 }, () => 412)]);
    t.match(canopy, { puts: 1, reboots: 1, times: 4 });

    const stale = await count(url(1), 5, { "If-Match": etag });
    t.match([stale.status, stale.json()["code"]], [412, "precondition-failed"]);
    t.equal(stale.header("ETag"), await etagOf(url(0)), "with the current ETag");
    t.match(canopy, { puts: 1, reboots: 1 });

    const next = await count(url(1), 5, { "If-Match": stale.header("ETag") ?? "" });
    t.same([next.status, next.json()], [200, 5]);
    t.match(canopy, { puts: 2, reboots: 2 });
  },
);

await inEveryDeployment(
  "the counter with a key as well: a retry of the step that worked is told that it did, not 412",
  exampleSettings("reboot"),
  newCanopy,
  async (t, { url }) => {
    const headers = { "If-Match": await etagOf(url(0)), "Idempotency-Key": "step-4" };
    const first = await count(url(0), 4, headers);
    const retry = await count(url(1), 4, headers);
    t.same([first.status, retry.status, retry.json()], [200, 200, 4]);
    t.equal(retry.header("Idempotent-Replayed"), "true");
    t.match(canopy, { puts: 1, reboots: 1 });
  },
);

await inEveryDeployment(
  "a wrong step is the upstream's 409, recorded: its retry gets it also when the step would be right",
  exampleSettings("reboot"),
  newCanopy,
  async (t, { url }) => {
    const wrong = { "If-Match": await etagOf(url(0)), "Idempotency-Key": "too-far" };
    const refused = await count(url(0), 5, wrong);
    t.same([refused.status, refused.json()], [409, { error: "the next one is 4" }]);
    t.equal(refused.header("Idempotency-Status"), "executed", "the upstream's own answer");
    t.match(canopy, { puts: 1, reboots: 0, times: 3 });

    t.equal((await count(url(1), 4, { "If-Match": await etagOf(url(1)) })).status, 200);
    const retry = await count(url(1), 5, wrong);
    t.same([retry.status, retry.json()], [409, { error: "the next one is 4" }]);
    t.equal(retry.header("Idempotent-Replayed"), "true");
    t.match(canopy, { puts: 2, reboots: 1, times: 4 });
  },
);
