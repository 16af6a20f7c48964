/**
 * Objects: clients make the id, and may PUT /objects/:id or POST /objects/ with the id in the body. Two routes, one
 * object: what the second POST gets is configuration, and it is the same after a PUT.
 */
import { call, type Answer } from "../support/client.ts";
import { exampleSettings, inEveryDeployment } from "../support/setups.ts";
import type { Responder } from "../support/upstream.ts";

/** A POST makes what it is sent, whatever is there; a PUT replaces or makes. No conditions, no keys. */
class Objects {
  readonly stored = new Map<string, unknown>();
  posts = 0;
  puts = 0;
  /** Whether its 201 says where the object is. */
  readonly tells: boolean;

  constructor(tells: boolean) {
    this.tells = tells;
  }

  readonly respond: Responder = async ({ method, url, body }, _req, res) => {
    const answer = (status: number, content: unknown, location?: string): void => {
      const at = location !== undefined && this.tells ? { Location: location } : {};
      res.writeHead(status, { "Content-Type": "application/json", ...at });
      res.end(JSON.stringify(content));
    };
    const found = this.stored.get(url);
    await new Promise(setImmediate);
    if (method === "GET") return answer(found === undefined ? 404 : 200, found ?? null);
    if (method === "DELETE") return answer(this.stored.delete(url) ? 200 : 404, null);
    const content = JSON.parse(body.toString()) as { id: string };
    if (method === "POST") {
      this.posts += 1;
      const path = `/objects/${content.id}`;
      this.stored.set(path, content);
      return answer(201, content, path);
    }
    this.puts += 1;
    this.stored.set(url, content);
    return answer(found === undefined ? 201 : 200, content);
  };
}

let objects = new Objects(true);
const newObjects = (): Responder => {
  objects = new Objects(true);
  return objects.respond;
};
const newSilentObjects = (): Responder => {
  objects = new Objects(false);
  return objects.respond;
};

const send = (url: string, method: string, content: object, as = "ann"): Promise<Answer> =>
  call(url, {
    method,
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${as}` },
    body: JSON.stringify(content),
  });
const post = (url: string, content: object, as?: string): Promise<Answer> =>
  send(`${url}/objects/`, "POST", content, as);
const put = (url: string, id: string, content: object): Promise<Answer> =>
  send(`${url}/objects/${id}`, "PUT", content);

type Route = Readonly<Record<string, unknown>>;
const settings = exampleSettings("objects");
const [creating = {}, ...following] = settings["routes"] as readonly Route[];
const withCreating = (route: Route) => ({ ...settings, routes: [route, ...following] });

/** What a repeated POST is told, by `replay`; after a PUT there is no recorded answer to a POST. */
const FORMS: readonly (readonly [string, Route, repeated: number, afterPut: number])[] = [
  ["the recorded 201", { as: "recorded" }, 201, 409],
  ["409 with Location", { as: "conflict" }, 409, 409],
  ["303 to the object", { as: "see-other" }, 303, 303],
  ["302 to the object", { as: "found" }, 302, 302],
  ["403", { as: "conflict", conflictStatus: 403 }, 403, 403],
  ["422", { as: "conflict", conflictStatus: 422 }, 422, 422],
];

for (const [form, replay, repeated, afterPut] of FORMS) {
  await inEveryDeployment(
    `a POST of what is there gets ${form}`,
    withCreating({ ...creating, replay }),
    newObjects,
    async (t, { url }) => {
      const place = (answer: Answer): unknown[] => [answer.status, answer.header("Location")];
      const first = await post(url(0), { id: "a", size: 1 });
      t.same(place(first), [201, "/objects/a"]);
      for (const n of [0, 1]) {
        const again = await post(url(n), { size: 1, id: "a" });
        t.same(place(again), [repeated, "/objects/a"]);
        t.equal(first.body.equals(again.body), replay["as"] === "recorded");
      }
      t.equal(objects.posts, 1);

      const atOnce = await Promise.all(
        Array.from({ length: 10 }, (_, n) => post(url(n), { id: "b" })),
      );
      const statuses = atOnce.map(({ status }) => status).toSorted();
      const told = [201, ...Array.from({ length: 9 }, () => repeated)].toSorted();
      t.same(statuses, told, "also where they come together");
      for (const answer of atOnce) t.equal(answer.header("Location"), "/objects/b");
      t.equal(objects.posts, 2);

      t.equal((await put(url(0), "c", { id: "c", size: 1 })).status, 201);
      for (const n of [0, 1]) {
        const after = await post(url(n), { id: "c", size: 2 });
        t.same(place(after), [afterPut, "/objects/c"], "POST after PUT of the same id");
      }
      t.match([objects.posts, objects.puts], [2, 1]);
      t.same(objects.stored.get("/objects/c"), { id: "c", size: 1 }, "as the PUT has left it");
    },
  );
}

await inEveryDeployment(
  "the Location is told also where the upstream does not say it",
  withCreating({ ...creating, replay: { as: "see-other" } }),
  newSilentObjects,
  async (t, { url }) => {
    t.equal((await post(url(0), { id: "urn:a" })).header("Location"), undefined);
    const again = await post(url(1), { id: "urn:a" });
    t.same([again.status, again.header("Location")], [303, "/objects/urn%3Aa"]);
    t.equal((await put(url(0), "urn:b", { id: "urn:b" })).status, 201);
    const after = await post(url(1), { id: "urn:b" });
    t.same([after.status, after.header("Location")], [303, "/objects/urn:b"]);
    t.match([objects.posts, objects.puts], [1, 1]);
  },
);

await inEveryDeployment(
  "another caller's POST of the same id meets the rule and learns nothing of the content",
  settings,
  newObjects,
  async (t, { url }) => {
    t.equal((await post(url(0), { id: "a", secret: "s3cr3t" }, "ann")).status, 201);
    const other = await post(url(1), { id: "a", secret: "mine" }, "bob");
    t.match([other.status, other.json()["code"]], [409, "conflict"]);
    t.match(other.json()["original"], { method: "POST", status: 201, location: "/objects/a" });
    t.notMatch(other.body.toString(), "s3cr3t");

    const changed = await post(url(1), { id: "a", secret: "changed" }, "ann");
    t.match([changed.status, changed.json()["code"]], [409, "key-reused"]);
    t.equal(objects.posts, 1);
  },
);

await inEveryDeployment(
  "PUT replaces, as often as it is sent, and the object stays taken",
  settings,
  newObjects,
  async (t, { url }) => {
    t.equal((await post(url(0), { id: "a", size: 1 })).status, 201);
    t.equal((await put(url(1), "a", { id: "a", size: 2 })).status, 200);
    t.equal((await put(url(0), "a", { id: "a", size: 2 })).status, 200);
    t.same(objects.stored.get("/objects/a"), { id: "a", size: 2 });
    t.match([objects.posts, objects.puts], [1, 2]);

    const own = await post(url(1), { id: "a", size: 1 });
    const others = await post(url(0), { id: "a", size: 1 }, "bob");
    t.same([own.status, others.status], [409, 409]);
    t.equal(others.header("Location"), "/objects/a");
    t.same(objects.stored.get("/objects/a"), { id: "a", size: 2 });
    t.equal(objects.posts, 1);
  },
);

await inEveryDeployment(
  "POST and PUT of one id at the same moment: never a POST over what the PUT has made",
  settings,
  newObjects,
  async (t, { url }) => {
    for (const id of ["a", "b", "c"]) {
      const [posted, replaced] = await Promise.all([
        post(url(0), { id, by: "POST" }),
        put(url(1), id, { id, by: "PUT" }),
      ]);
      const outcome = `${posted.status} ${replaced.status}`;
      t.ok(outcome === "201 200" || outcome === "409 201", outcome);
      t.same(objects.stored.get(`/objects/${id}`), { id, by: "PUT" });
    }
    t.equal(objects.puts, 3);
  },
);

const { key: _key, fingerprint: _fingerprint, onInFlight: _onInFlight, ...keyless } = creating;

await inEveryDeployment(
  "after a DELETE the id stays used for its caller while the POST is remembered",
  settings,
  newObjects,
  async (t, { url }) => {
    t.equal((await post(url(0), { id: "a" })).status, 201);
    t.equal((await send(`${url(1)}/objects/a`, "DELETE", {})).status, 200);
    t.equal((await post(url(0), { id: "a" })).status, 409);
    t.equal((await post(url(1), { id: "a" }, "bob")).status, 201, "another caller's first");
    t.equal(objects.posts, 2);
  },
);

await inEveryDeployment(
  "without a key the rule is kept by `once` alone, and a DELETE frees the id",
  withCreating(keyless),
  newObjects,
  async (t, { url }) => {
    const atOnce = await Promise.all(
      Array.from({ length: 10 }, (_, n) => post(url(n), { id: "a", n })),
    );
    const statuses = atOnce.map(({ status }) => status).toSorted();
    t.same(statuses, [201, ...Array.from({ length: 9 }, () => 409)]);
    t.equal((await send(`${url(1)}/objects/a`, "DELETE", {})).status, 200);
    t.equal((await post(url(0), { id: "a" })).status, 201);
    t.equal((await post(url(1), { id: "a" })).status, 409);
    t.equal(objects.posts, 2);

    const unnamed = await post(url(0), { name: "no id" });
    t.match([unnamed.status, unnamed.json()["code"]], [400, "resource-unnamed"]);
    t.equal(objects.posts, 2);
  },
);
