/**
 * Lamp: several clients PUT a lamp's state, and the system itself may find it broken in between. Whoever has not seen
 * the current state must not change it.
 */
import type { Call, Responder } from "../support/upstream.ts";
import { call, type Answer } from "../support/client.ts";
import { exampleSettings, inEveryDeployment } from "../support/setups.ts";

/** No ETag, no locking, no idempotency. BROKEN refuses to be switched. Looks, thinks, and acts. */
class Lamp {
  state = "OFF";
  puts = 0;
  readonly asked: Call[] = [];

  readonly respond: Responder = async (request, _req, res) => {
    this.asked.push(request);
    const answer = (status: number, body: unknown): void => {
      res.writeHead(status, { "Content-Type": "application/json" });
      res.end(JSON.stringify(body));
    };
    if (request.method === "GET") return answer(200, { state: this.state });
    this.puts += 1;
    const { state } = this;
    await new Promise((resolve) => setImmediate(resolve));
    if (state === "BROKEN") return answer(503, { error: "broken" });
    this.state = (JSON.parse(request.body.toString()) as { state: string }).state;
    return answer(200, { state: this.state });
  };
}

let lamp = new Lamp();
const newLamp = (): Responder => {
  lamp = new Lamp();
  return lamp.respond;
};

interface Switching {
  readonly etag?: string;
  readonly key?: string;
  readonly state?: string;
}

const put = (base: string, { etag, key, state = "ON" }: Switching): Promise<Answer> =>
  call(`${base}/my_lamp`, {
    method: "PUT",
    body: JSON.stringify({ state }),
    headers: {
      "Content-Type": "application/json",
      Authorization: "me",
      ...(etag !== undefined && { "If-Match": etag }),
      ...(key !== undefined && { "Idempotency-Key": key }),
    },
  });

await inEveryDeployment(
  "reads carry an ETag that the upstream does not have, the same by every gateway, and another one for another state",
  exampleSettings("lamp"),
  newLamp,
  async (t, { url }) => {
    const seen = await call(`${url(0)}/my_lamp`);
    const etag = seen.header("ETag") ?? "";
    t.match(etag, /^"[^"]+"$/u);
    t.same(seen.json(), { state: "OFF" });
    const head = await call(`${url(1)}/my_lamp`, { method: "HEAD" });
    t.same([head.status, head.header("ETag"), head.body.length], [200, etag, 0]);

    const unchanged = await call(`${url(1)}/my_lamp`, { headers: { "If-None-Match": etag } });
    t.same([unchanged.status, unchanged.header("ETag"), unchanged.body.length], [304, etag, 0]);
    lamp.state = "BROKEN";
    const changed = await call(`${url(0)}/my_lamp`, { headers: { "If-None-Match": etag } });
    t.same([changed.status, changed.json()], [200, { state: "BROKEN" }]);
    t.not(changed.header("ETag"), etag);
    lamp.state = "OFF";
    t.equal((await call(`${url(0)}/my_lamp`)).header("ETag"), etag);
    t.equal(lamp.puts, 0);
  },
);

await inEveryDeployment(
  "a PUT needs the current state's ETag; what the system changed is seen; a refusal of the upstream is not recorded",
  exampleSettings("lamp"),
  newLamp,
  async (t, { url }) => {
    const etag = (await call(`${url(0)}/my_lamp`)).header("ETag") ?? "";
    const blind = await put(url(1), { key: "k1" });
    t.match([blind.status, blind.json()["code"]], [428, "precondition-required"]);
    t.equal(lamp.asked.length, 1, "the upstream is not called at all");

    lamp.state = "BROKEN";
    const stale = await put(url(0), { etag, key: "k1" });
    t.match([stale.status, stale.json()["code"]], [412, "precondition-failed"]);
    const current = stale.header("ETag") ?? "";
    t.equal(current, (await call(`${url(1)}/my_lamp`)).header("ETag"), "the current one");
    for (const wrong of [`W/${current}`, `"x", ${etag}`]) {
      t.equal((await put(url(1), { etag: wrong })).status, 412);
    }
    t.equal((await put(url(0), { etag: "x" })).status, 400, "not an entity tag");
    t.equal(lamp.puts, 0, "the upstream is asked for the state, and not called to change it");
    const looks = lamp.asked.filter((look) => look.all("Authorization")[0] === "me");
    t.equal(looks.length, 4, "with the caller's credentials");
    for (const look of looks) {
      t.same([...look.all("If-Match"), ...look.all("Idempotency-Key"), look.body.length], [0]);
    }

    const broken = await put(url(1), { etag: current, key: "k1" });
    t.same([broken.status, broken.json()], [503, { error: "broken" }]);
    t.equal(lamp.puts, 1, "a fresh ETag reaches the upstream");
    t.equal((await put(url(0), { etag: current, key: "k1" })).status, 503);
    t.equal(lamp.puts, 2, "and does so again");

    lamp.state = "OFF";
    t.equal((await put(url(1), { etag, key: "k1" })).status, 200, "repaired");
    const again = await put(url(0), { etag, key: "k1" });
    t.same([again.status, again.header("Idempotent-Replayed")], [200, "true"]);
    t.equal((await put(url(1), { etag, key: "k2" })).status, 412, "it is ON by now");
    t.same([lamp.state, lamp.puts], ["ON", 3]);
  },
);

await inEveryDeployment(
  "of 20 concurrent PUTs with one ETag exactly one executes",
  exampleSettings("lamp"),
  newLamp,
  async (t, { url }) => {
    const etag = (await call(`${url(0)}/my_lamp`)).header("ETag") ?? "";
    // Every other one with a key, and each with a state of its own.
    const switching = Array.from({ length: 20 }, (_, n) =>
      n % 2 === 0 ? { etag, state: `ON ${n}` } : { etag, state: `ON ${n}`, key: `k${n}` },
    );
    const answers = await Promise.all(switching.map((each, n) => put(url(n), each)));
    const statuses = answers.map(({ status }) => status).toSorted();
    t.same(statuses, [200, ...Array.from({ length: 19 }, () => 412)]);
    t.equal(lamp.puts, 1);
    const winner = answers.find(({ status }) => status === 200);
    t.same(winner?.json(), { state: lamp.state });
    const current = (await call(`${url(1)}/my_lamp`)).header("ETag");
    const told = answers.filter((answer) => answer.status === 412);
    t.ok(told.every((answer) => answer.header("ETag") === current));
  },
);
