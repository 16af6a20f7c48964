/**
 * Deployments: `PUT /deployments/:uuid` starts something expensive that is never changed. Clients send no key; the uuid
 * that they made up is one.
 */
import { call, type Answer } from "../support/client.ts";
import { exampleSettings, inEveryDeployment } from "../support/setups.ts";
import type { Responder } from "../support/upstream.ts";

/** Starts whatever it is sent, each time. */
class Cloud {
  readonly running = new Map<string, { readonly image: unknown; readonly started: number }>();
  puts = 0;

  readonly respond: Responder = ({ method, url, body }, _req, res) => {
    const answer = (status: number, content: object): void => {
      res.writeHead(status, { "Content-Type": "application/json" });
      res.end(JSON.stringify(content));
    };
    const found = this.running.get(url);
    if (method === "GET") return answer(found === undefined ? 404 : 200, found ?? {});
    this.puts += 1;
    const { image } = JSON.parse(body.toString()) as { image: unknown };
    const deployment = { image, started: this.puts };
    this.running.set(url, deployment);
    return answer(201, deployment);
  };
}

let cloud = new Cloud();
const newCloud = (): Responder => {
  cloud = new Cloud();
  return cloud.respond;
};

const UUID = "0198c0de-7e57-7a11-8000-00000000beef";

const put = (url: string, content: object, headers: object = {}): Promise<Answer> =>
  call(url, {
    method: "PUT",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(content),
  });

const settings = exampleSettings("deployments");
const routes = settings["routes"] as readonly Record<string, unknown>[];
const sameAnswer = {
  ...settings,
  routes: routes.map((route) => ({ ...route, replay: {} })),
};
/** A crowd of 50 is through when the machine lets it: 409 is for waits that are too long, and none is here. */
const patient = {
  ...settings,
  routes: routes.map((route) =>
    "waitTimeout" in route ? { ...route, waitTimeout: "60s" } : route,
  ),
};

await inEveryDeployment(
  "50 concurrent identical PUTs start one; the first got 201, the others 200",
  settings,
  newCloud,
  async (t, { url, upstream }) => {
    const deployment = (n: number): string => `${url(n)}/deployments/${UUID}`;
    const gate = upstream.hold();
    const atOnce = Array.from({ length: 50 }, (_, n) =>
      // Not the same caller, and not the same spelling of the same content.
      put(deployment(n), n % 2 === 0 ? { image: "v1", size: 2 } : { size: 2, image: "v1" }, {
        Authorization: `Bearer ${n}`,
      }),
    );
    await upstream.arrived(1);
    gate.release();
    const answers = await Promise.all(atOnce);
    const statuses = answers.map(({ status }) => status).toSorted();
    t.same(statuses, [...Array.from({ length: 49 }, () => 200), 201]);
    for (const answer of answers) t.same(answer.json(), { image: "v1", started: 1 });

    const later = await put(deployment(1), { image: "v1", size: 2 });
    t.same([later.status, later.json()], [200, { image: "v1", started: 1 }]);
    t.equal(later.header("Idempotent-Replayed"), "true");
    t.match([cloud.puts, upstream.count()], [1, 1]);

    const another = await put(`${url(0)}/deployments/${UUID.replace("beef", "cafe")}`, {});
    t.equal(another.status, 201, "another uuid is another deployment");
    t.equal(cloud.puts, 2);
  },
);

await inEveryDeployment(
  "another body for the same uuid is 409, while the first one runs and afterwards",
  settings,
  newCloud,
  async (t, { url, upstream }) => {
    const deployment = (n: number): string => `${url(n)}/deployments/${UUID}`;
    const gate = upstream.hold();
    const first = put(deployment(0), { image: "v1" });
    await upstream.arrived(1);
    const during = await put(deployment(1), { image: "v2" });
    t.match([during.status, during.json()["code"]], [409, "key-reused"]);
    gate.release();
    t.equal((await first).status, 201);
    const after = await put(deployment(1), { image: "v2" });
    t.match([after.status, after.json()["code"]], [409, "key-reused"]);
    t.match(after.json()["original"], { method: "PUT", status: 201 });
    t.notMatch(after.body.toString(), "v1", "nothing of the first one's content");

    const nonsense = await put(`${url(0)}/deployments/latest`, { image: "v1" });
    t.match([nonsense.status, nonsense.json()["code"]], [400, "key-invalid"]);
    t.match([cloud.puts, upstream.count()], [1, 1]);
  },
);

await inEveryDeployment(
  "without replay.status a repeat gets the same answer",
  sameAnswer,
  newCloud,
  async (t, { url }) => {
    const first = await put(`${url(0)}/deployments/${UUID}`, { image: "v1" });
    const repeat = await put(`${url(1)}/deployments/${UUID}`, { image: "v1" });
    t.same([first.status, repeat.status], [201, 201]);
    t.ok(first.body.equals(repeat.body));
    t.equal(cloud.puts, 1);
  },
);

await inEveryDeployment(
  "an outcome that nobody knows is not sent again: it might start a second one",
  settings,
  newCloud,
  async (t, { url, upstream }) => {
    upstream.respond((_call, _req, res) => {
      cloud.puts += 1;
      res.destroy();
    });
    const first = await put(`${url(0)}/deployments/${UUID}`, { image: "v1" });
    t.match([first.status, first.json()["code"]], [502, "outcome-unknown"]);
    const retry = await put(`${url(1)}/deployments/${UUID}`, { image: "v1" });
    t.match([retry.status, retry.json()["code"]], [409, "outcome-unknown"]);
    t.equal(cloud.puts, 1);
  },
);

await inEveryDeployment(
  "where If-None-Match: * is demanded its lack is 428, and a repeat with it 412",
  patient,
  newCloud,
  async (t, { url }) => {
    const release = (n: number): string => `${url(n)}/releases/${UUID}`;
    const create = { "If-None-Match": "*" };
    const missing = await put(release(0), { image: "v1" });
    t.match([missing.status, missing.json()["code"]], [428, "precondition-required"]);
    t.equal(cloud.puts, 0);

    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => put(release(n), { image: "v1" }, create)),
    );
    const statuses = answers.map(({ status }) => status).toSorted();
    t.same(statuses, [201, ...Array.from({ length: 49 }, () => 412)]);
    t.equal(cloud.puts, 1);

    const repeat = await put(release(1), { image: "v1" }, create);
    t.match([repeat.status, repeat.json()["code"]], [412, "precondition-failed"]);
    const still = await put(release(0), { image: "v1" });
    t.equal(still.status, 428, "also when it is there");
    t.equal(cloud.puts, 1);
  },
);
