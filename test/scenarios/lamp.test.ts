/**
 * Lamp: several clients PUT a lamp's state, and the system itself may find it broken in between. Whoever has not seen
 * the current state must not change it.
 */
import type { Responder } from "../support/upstream.ts";
import { call } from "../support/client.ts";
import { exampleSettings, inEveryDeployment } from "../support/setups.ts";

/** No ETag, no locking, no idempotency. BROKEN refuses to be switched. */
class Lamp {
  state = "OFF";
  puts = 0;

  readonly respond: Responder = (request, _req, res) => {
    const answer = (status: number, body: unknown): void => {
      res.writeHead(status, { "Content-Type": "application/json" });
      res.end(JSON.stringify(body));
    };
    if (request.method === "GET") return answer(200, { state: this.state });
    this.puts += 1;
    if (this.state === "BROKEN") return answer(503, { error: "broken" });
    this.state = (JSON.parse(request.body.toString()) as { state: string }).state;
    return answer(200, { state: this.state });
  };
}

const ON = { method: "PUT", body: '{"state":"ON"}' } as const;
const JSON_TYPE = { "Content-Type": "application/json" };

let lamp = new Lamp();
const newLamp = (): Responder => {
  lamp = new Lamp();
  return lamp.respond;
};

await inEveryDeployment(
  "a PUT needs the current state's ETag, which the gateway computes",
  exampleSettings("lamp"),
  newLamp,
  async (t, { url }) => {
    const seen = await call(`${url(0)}/my_lamp`);
    const etag = seen.header("ETag") ?? "";
    t.match(etag, /^"[^"]+"$/);

    const blind = await call(`${url(1)}/my_lamp`, { ...ON, headers: JSON_TYPE });
    t.match([blind.status, blind.json()["code"]], [428, "precondition-required"]);

    const unchanged = await call(`${url(1)}/my_lamp`, { headers: { "If-None-Match": etag } });
    t.match([unchanged.status, unchanged.header("ETag")], [304, etag]);
    t.equal(lamp.puts, 0);

    lamp.state = "BROKEN";
    const stale = await call(`${url(0)}/my_lamp`, {
      ...ON,
      headers: { ...JSON_TYPE, "If-Match": etag },
    });
    t.match([stale.status, stale.json()["code"]], [412, "precondition-failed"]);
    const current = stale.header("ETag") ?? "";
    t.not(current, etag);
    t.equal(lamp.puts, 0, "the upstream is not called");

    const retry = {
      ...ON,
      headers: { ...JSON_TYPE, "If-Match": current, "Idempotency-Key": "k1" },
    };
    const broken = await call(`${url(1)}/my_lamp`, retry);
    t.equal(broken.status, 503, "the upstream's own refusal");
    lamp.state = "OFF";
    const repaired = { ...retry, headers: { ...retry.headers, "If-Match": etag } };
    t.equal((await call(`${url(0)}/my_lamp`, repaired)).status, 200, "not recorded: it works now");
    t.match([lamp.state, lamp.puts], ["ON", 2]);
  },
);

await inEveryDeployment(
  "of 20 concurrent PUTs with one ETag exactly one executes",
  exampleSettings("lamp"),
  newLamp,
  async (t, { url }) => {
    const etag = (await call(`${url(0)}/my_lamp`)).header("ETag") ?? "";
    const headers = { ...JSON_TYPE, "If-Match": etag };
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => call(`${url(n)}/my_lamp`, { ...ON, headers })),
    );
    const statuses = answers.map(({ status }) => status).toSorted();
    t.same(statuses, [200, ...Array.from({ length: 19 }, () => 412)]);
    t.equal(lamp.puts, 1);
  },
);
