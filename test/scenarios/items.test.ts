/**
 * Items: POST, PUT, PUT, DELETE, DELETE, GET, PUT. The upstream's PUT would bring a deleted item back; the gateway
 * remembers the deletion and does not let it.
 */
import type { Responder } from "../support/upstream.ts";
import { call, type Answer } from "../support/client.ts";
import { exampleSettings, inEveryDeployment } from "../support/setups.ts";

/** PUT upserts, POST gives the least free id, DELETE says 202 or 404. Looks, thinks, and acts. */
class Items {
  readonly items = new Map<string, string>();
  readonly asked: string[] = [];

  readonly respond: Responder = async (request, _req, res) => {
    const { method, url } = request;
    this.asked.push(`${method} ${url}`);
    const answer = (status: number, headers: Record<string, string> = {}, body = ""): void =>
      void res.writeHead(status, headers).end(body);
    const had = this.items.get(url);
    await new Promise((resolve) => setImmediate(resolve));
    const body = request.body.toString();
    if (method === "POST") {
      let id = 1;
      while (this.items.has(`/items/${id}`)) id += 1;
      this.items.set(`/items/${id}`, body);
      return answer(201, { Location: `/items/${id}` });
    }
    if (method === "PUT") {
      this.items.set(url, body);
      return answer(had === undefined ? 201 : 200, {}, body);
    }
    if (had === undefined) return answer(404);
    if (method === "GET") return answer(200, {}, had);
    this.items.delete(url);
    return answer(202, {}, "will be deleted");
  };

  count(method: string): number {
    return this.asked.filter((line) => line.startsWith(method)).length;
  }
}

let items = new Items();
const newItems = (): Responder => {
  items = new Items();
  return items.respond;
};

const send = (method: string, url: string, body = "", key?: string): Promise<Answer> =>
  call(url, { method, body, ...(key !== undefined && { headers: { "Idempotency-Key": key } }) });

await inEveryDeployment(
  "POST, PUT, PUT, DELETE 202, DELETE 202 again, GET 404, PUT 410; POST creates anew, also under the old id",
  exampleSettings("items"),
  newItems,
  async (t, { url }) => {
    const created = await send("POST", `${url(0)}/items`, "a");
    t.same([created.status, created.header("Location")], [201, "/items/1"]);
    t.equal((await send("PUT", `${url(1)}/items/1`, "b", "k1")).status, 200);
    t.equal((await send("PUT", `${url(0)}/items/1`, "c")).status, 200);

    const removed = await send("DELETE", `${url(1)}/items/1`);
    t.same([removed.status, removed.body.toString()], [202, "will be deleted"]);
    const again = await send("DELETE", `${url(0)}/items/1`);
    t.same([again.status, again.body.toString()], [202, "will be deleted"]);
    t.equal(again.header("Idempotent-Replayed"), "true");
    t.equal((await call(`${url(1)}/items/1`)).status, 404);

    const puts = await Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        send("PUT", `${url(n)}/items/1`, "d", n > 2 ? `p${n}` : undefined),
      ),
    );
    for (const put of puts) t.match([put.status, put.json()["code"]], [410, "gone"]);
    const retried = await send("PUT", `${url(1)}/items/1`, "b", "k1");
    t.same([retried.status, retried.header("Idempotent-Replayed")], [200, "true"]);
    t.same([items.count("PUT"), items.count("DELETE"), items.items.size], [2, 1, 0]);

    const anew = await send("POST", `${url(0)}/items`, "e");
    t.same([anew.status, anew.header("Location")], [201, "/items/1"]);
    t.equal((await send("PUT", `${url(1)}/items/1`, "f")).status, 200, "it is there again");
    t.equal((await send("DELETE", `${url(0)}/items/1`)).status, 202);
    t.same([items.count("POST"), items.count("PUT"), items.count("DELETE")], [2, 3, 2]);
    t.equal(items.items.size, 0, "and was deleted in earnest");
  },
);

const example = exampleSettings("items");
const [route, ...others] = example["routes"] as readonly Readonly<Record<string, unknown>>[];
const STATUSES = [404, 409, 403];
const routesOf = (remember: string): readonly object[] =>
  STATUSES.map((put) => ({
    ...route,
    name: `items-${put}`,
    match: { methods: ["PUT", "DELETE"], path: `/items/:id/${put}` },
    resource: { id: "path", afterDelete: { remember: put === 404 ? remember : "24h", put } },
  }));

await inEveryDeployment(
  "PUT after DELETE is the configured 404, 409 or 403, for as long as it is remembered and no longer",
  { ...example, routes: routesOf("2s") },
  newItems,
  async (t, { url }) => {
    const sinceMs = performance.now();
    for (const status of STATUSES) {
      const path = `/items/1/${status}`;
      items.items.set(path, "a");
      t.equal((await send("DELETE", `${url(0)}${path}`)).status, 202);
      const refused = await send("PUT", `${url(1)}${path}`, "b");
      t.match([refused.status, refused.json()["code"]], [status, "gone"]);
    }
    t.equal(items.items.size, 0);
    let put = await send("PUT", `${url(1)}/items/1/404`, "b");
    while (put.status === 404) put = await send("PUT", `${url(1)}/items/1/404`, "b");
    t.equal(put.status, 201);
    t.ok(performance.now() - sinceMs > 1900, "after the two seconds, and not before");
    t.equal((await send("PUT", `${url(0)}/items/1/403`, "b")).status, 403);
    t.same([items.count("PUT"), items.count("DELETE")], [1, 3]);
  },
);

await inEveryDeployment(
  "a PUT that waits behind the DELETE is refused like one that comes later",
  example,
  newItems,
  async (t, { url, upstream }) => {
    items.items.set("/items/1", "a");
    const gate = upstream.hold();
    const removing = send("DELETE", `${url(0)}/items/1`);
    await upstream.arrived(1);
    const putting = [0, 1, 2, 3].map((n) => send("PUT", `${url(n)}/items/1`, "b"));
    // Another item is nobody's to wait for: its PUT gets there while the DELETE is held.
    const other = send("PUT", `${url(1)}/items/2`, "c");
    t.equal((await upstream.arrived(2)).url, "/items/2");
    gate.release();
    t.equal((await removing).status, 202);
    t.same(
      (await Promise.all(putting)).map(({ status }) => status),
      [410, 410, 410, 410],
    );
    t.equal((await other).status, 201);
    t.same(items.asked.toSorted(), ["DELETE /items/1", "PUT /items/2"]);
  },
);

const byBody = {
  name: "items-named",
  match: { methods: ["POST"], path: "/items" },
  resource: { id: { template: "/items/{id}" } },
};

await inEveryDeployment(
  "delete: pass asks the upstream; a POST that names the item itself ends the memory",
  {
    ...example,
    routes: [
      { ...route, resource: { id: "path", afterDelete: { delete: "pass" } } },
      byBody,
      ...others.filter(({ name }) => name !== "items-new"),
    ],
  },
  () => {
    items = new Items();
    return (request, req, res) => {
      const named =
        request.method === "POST"
          ? (JSON.parse(request.body.toString()) as { id: string })
          : undefined;
      if (named === undefined) return items.respond(request, req, res);
      items.asked.push("POST");
      items.items.set(`/items/${named.id}`, "made");
      return void res.writeHead(201).end();
    };
  },
  async (t, { url }) => {
    items.items.set("/items/1", "a");
    t.equal((await send("DELETE", `${url(0)}/items/1`)).status, 202);
    t.equal((await send("DELETE", `${url(1)}/items/1`)).status, 404, "the upstream's own");
    t.equal((await send("PUT", `${url(0)}/items/1`, "b")).status, 410, "remembered all the same");
    const post = {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: '{"id":"1"}',
    };
    t.equal((await call(`${url(1)}/items`, post)).status, 201);
    t.equal((await send("PUT", `${url(0)}/items/1`, "b")).status, 200);
    t.same(items.asked, ["DELETE /items/1", "DELETE /items/1", "POST", "PUT /items/1"]);
  },
);
