/**
 * Get or create: several clients PUT one name at once. The upstream looks whether it is there and creates it then, so
 * without help two of them make it twice.
 */
import { once } from "node:events";
import { call, type Answer } from "../support/client.ts";
import { exampleSettings, inEveryDeployment } from "../support/setups.ts";
import type { Responder } from "../support/upstream.ts";

/** Never changes what is there; knows neither conditions nor keys. What it shows is more than it was sent. */
class Registry {
  readonly items = new Map<string, object>();
  puts = 0;
  creations = 0;

  readonly respond: Responder = async ({ method, url, body }, _req, res) => {
    const answer = (status: number, content: object): void => {
      res.writeHead(status, { "Content-Type": "application/json" });
      res.end(JSON.stringify(content));
    };
    const found = this.items.get(url);
    if (method === "GET") return answer(found === undefined ? 404 : 200, found ?? {});
    this.puts += 1;
    await anyOtherRequest(res);
    if (found !== undefined) return answer(200, found);
    this.creations += 1;
    const made = { ...(JSON.parse(body.toString()) as object), number: this.creations };
    this.items.set(url, made);
    return answer(201, made);
  };
}

/** Between looking and creating there is time for whoever else is on the way. */
async function anyOtherRequest(res: NodeJS.EventEmitter): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) {
    setImmediate(() => res.emit("turn"));
    await once(res, "turn");
  }
}

const JSON_TYPE = { "Content-Type": "application/json" };

let registry = new Registry();
const newRegistry = (): Responder => {
  registry = new Registry();
  return registry.respond;
};

const put = (url: string, content: object, key?: string): Promise<Answer> =>
  call(url, {
    method: "PUT",
    headers: { ...JSON_TYPE, ...(key !== undefined && { "Idempotency-Key": key }) },
    body: JSON.stringify(content),
  });

const twentyAtOnce = (contentOf: (n: number) => object, url: (n: number) => string) =>
  Promise.all(Array.from({ length: 20 }, (_, n) => put(url(n), contentOf(n))));

const ONE_CREATED = [...Array.from({ length: 19 }, () => 200), 201];

await inEveryDeployment(
  "20 clients at once: one 201, the others get the thing that was created",
  exampleSettings("get-or-create"),
  newRegistry,
  async (t, { url }) => {
    const answers = await twentyAtOnce(
      (by) => ({ by }),
      (n) => `${url(n)}/things/river`,
    );
    t.same(answers.map(({ status }) => status).toSorted(), ONE_CREATED);
    const created = answers.find(({ status }) => status === 201)?.json();
    for (const answer of answers) t.same(answer.json(), created);
    t.match(registry, { puts: 20, creations: 1 });
  },
);

await inEveryDeployment(
  "a retry with its key replays the 201, and somebody else's PUT is a 200",
  exampleSettings("get-or-create"),
  newRegistry,
  async (t, { url }) => {
    const first = await put(`${url(0)}/things/river`, { by: 1 }, "k1");
    const retry = await put(`${url(1)}/things/river`, { by: 1 }, "k1");
    t.same([first.status, retry.status], [201, 201]);
    t.equal(retry.header("Idempotent-Replayed"), "true");
    t.ok(first.body.equals(retry.body));
    const other = await put(`${url(1)}/things/river`, { by: 2 }, "k2");
    t.same([other.status, other.json()], [200, first.json()]);
    t.match(registry, { puts: 2, creations: 1 });
  },
);

await inEveryDeployment(
  "pure get or create, 20 clients at once with the same content: one 201, the others 200",
  exampleSettings("get-or-create"),
  newRegistry,
  async (t, { url }) => {
    const answers = await twentyAtOnce(
      () => ({ color: "red" }),
      (n) => `${url(n)}/tags/urgent`,
    );
    t.same(answers.map(({ status }) => status).toSorted(), ONE_CREATED);
    for (const answer of answers) t.same(answer.json(), { color: "red", number: 1 });
    t.match(registry, { puts: 1, creations: 1 });
  },
);

await inEveryDeployment(
  "pure get or create, 20 clients at once with contents of their own: one 201, the others 409",
  exampleSettings("get-or-create"),
  newRegistry,
  async (t, { url }) => {
    const answers = await twentyAtOnce(
      (color) => ({ color }),
      (n) => `${url(n)}/tags/urgent`,
    );
    const statuses = answers.map(({ status }) => status).toSorted();
    t.same(statuses, [201, ...Array.from({ length: 19 }, () => 409)]);
    t.match(registry, { puts: 1, creations: 1 });
  },
);

await inEveryDeployment(
  "pure get or create: the same content gets 200 with the tag as it is, other content 409",
  exampleSettings("get-or-create"),
  newRegistry,
  async (t, { url }) => {
    const tag = (n: number): string => `${url(n)}/tags/urgent`;
    const content = { color: "red", size: 1 };
    const first = await put(tag(0), content, "k1");
    t.equal(first.status, 201);

    const retry = await put(tag(1), content, "k1");
    t.equal(retry.status, 200, "replay.status: what was 201 is told as 200");
    t.equal(retry.header("Idempotency-Status"), "replayed");
    t.ok(first.body.equals(retry.body));

    const same = await put(tag(1), { size: 1, color: "red" });
    t.same([same.status, same.header("Idempotency-Status")], [200, "unchanged"]);
    t.same(same.json(), first.json());

    const other = await put(tag(0), { ...content, color: "blue" }, "k2");
    t.match([other.status, other.json()["code"]], [409, "conflict"]);
    const otherAgain = await put(tag(1), { ...content, color: "blue" }, "k2");
    t.equal(otherAgain.status, 409);
    t.match(registry, { puts: 1, creations: 1 });

    registry.items.delete("/tags/urgent");
    const anew = await put(tag(1), { ...content, color: "blue" }, "k2");
    t.equal(anew.status, 201, "a refusal sent nothing and used up no key");
    t.match(registry, { puts: 2, creations: 2 });
  },
);

await inEveryDeployment(
  "pure get or create of what was there before the gateway: compared with what the upstream shows",
  exampleSettings("get-or-create"),
  newRegistry,
  async (t, { url }) => {
    registry.items.set("/tags/old", { color: "red" });
    const same = await put(`${url(0)}/tags/old`, { color: "red" });
    t.same([same.status, same.json()], [200, { color: "red" }]);
    const other = await put(`${url(1)}/tags/old`, { color: "blue" });
    t.match([other.status, other.json()["code"]], [409, "conflict"]);
    t.match(registry, { puts: 0, creations: 0 });
  },
);
