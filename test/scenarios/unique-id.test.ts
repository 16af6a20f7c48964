/**
 * Unique id: `GET or POST /service?id=…` must give the first response again and say that it is a repeat; and what a
 * repeat says of a thing that has been changed since.
 */
import { call, type Answer } from "../support/client.ts";
import { exampleSettings, inEveryDeployment } from "../support/setups.ts";
import { writeAnswer, type Responder } from "../support/upstream.ts";

/** Counts and answers; every execution answers otherwise. Documents that exist are overwritten. */
class Service {
  readonly executed: string[] = [];
  readonly documents = new Map<string, string>();
  /** Requests to this target wait before they do anything. */
  readonly #held = new Map<string, Promise<void>>();

  hold(target: string): () => void {
    let release = (): void => undefined;
    this.#held.set(target, new Promise((resolve) => (release = resolve)));
    return release;
  }

  readonly respond: Responder = async (request, _req, res) => {
    const { method, url } = request;
    await this.#held.get(url);
    this.executed.push(`${method} ${url}`);
    const headers = ["Content-Type", "text/plain"];
    const body = `execution ${this.executed.length}`;
    const { pathname, searchParams } = new URL(url, "http://upstream");
    if (!pathname.startsWith("/documents")) {
      return writeAnswer(res, { status: method === "GET" ? 200 : 201, headers, body });
    }
    if (method === "POST") {
      const path = `/documents/${searchParams.get("id")}`;
      this.documents.set(path, request.body.toString());
      return writeAnswer(res, { status: 201, headers: [...headers, "Location", path], body });
    }
    if (!this.documents.has(pathname)) return writeAnswer(res, { status: 404, headers, body });
    if (request.body.toString() === "bad") return writeAnswer(res, { status: 422, headers, body });
    if (method === "PUT") this.documents.set(pathname, request.body.toString());
    else this.documents.delete(pathname);
    return writeAnswer(res, { headers, body });
  };
}

let service = new Service();
const newService = (): Responder => {
  service = new Service();
  return service.respond;
};

const EXAMPLE = exampleSettings("unique-id");

const ask = (url: string, method: string, target: string, body = ""): Promise<Answer> =>
  call(`${url}${target}`, {
    method,
    ...(body !== "" && { body, headers: { "Content-Length": String(Buffer.byteLength(body)) } }),
  });

function told(answer: Answer): readonly unknown[] {
  const { status, body } = answer;
  return [status, body.toString(), answer.header("Idempotent-Replayed")];
}

await inEveryDeployment(
  "the id is the key: a repeat gets the first answer under another status, marked as one",
  EXAMPLE,
  newService,
  async (t, { url }) => {
    t.same(told(await ask(url(0), "GET", "/service?id=7")), [200, "execution 1", undefined]);
    const again = await ask(url(1), "GET", "/service?id=7");
    t.same(told(again), [208, "execution 1", "true"]);
    t.equal(again.header("Idempotency-Status"), "replayed");
    t.same(told(await ask(url(0), "POST", "/service?id=8", "x")), [201, "execution 2", undefined]);
    t.same(told(await ask(url(1), "POST", "/service?id=8", "x")), [208, "execution 2", "true"]);
    t.equal((await ask(url(0), "GET", "/service?id=9")).status, 200, "another id executes");

    const reused = await ask(url(0), "POST", "/service?id=7", "x");
    t.match([reused.status, reused.json()["code"]], [409, "key-reused"], "another method");
    const missing = await ask(url(0), "GET", "/service");
    t.match([missing.status, missing.json()["code"]], [428, "key-missing"]);
    const twice = await ask(url(0), "GET", "/service?id=1&id=2");
    t.match([twice.status, twice.json()["code"]], [400, "key-invalid"]);
    t.same(service.executed, ["GET /service?id=7", "POST /service?id=8", "GET /service?id=9"]);

    t.same(told(await ask(url(0), "POST", "/receipts?id=7", "x")), [201, "execution 4", undefined]);
    const conflict = await ask(url(1), "POST", "/receipts?id=7", "x");
    t.same(told(conflict), [409, "execution 4", "true"], "the first answer's body under 409");
    t.equal(service.executed.length, 4, "the same id on another route is another key");
  },
);

await inEveryDeployment(
  "by configuration a repeat has the first answer's status",
  withoutStatuses(),
  newService,
  async (t, { url }) => {
    const answers = await Promise.all([0, 1, 2, 3].map((n) => ask(url(n), "GET", "/service?id=7")));
    const running = answers.filter(({ status }) => status === 409);
    for (const answer of running) t.equal(answer.json()["code"], "in-flight");
    t.same(told(await ask(url(1), "GET", "/service?id=7")), [200, "execution 1", "true"]);
    t.same(service.executed, ["GET /service?id=7"]);
  },
);

await inEveryDeployment(
  "a document that was changed since is not replayed as if it were new",
  EXAMPLE,
  newService,
  async (t, { url, upstream }) => {
    const create = (n: number, id: string) => ask(url(n), "POST", `/documents?id=${id}`, "draft");
    for (const id of ["1", "2", "3"]) t.equal((await create(0, id)).status, 201);
    const first = [201, "execution 1", "true"];
    t.same(told(await create(1, "1")), first, "nothing has changed");
    t.equal((await ask(url(0), "PUT", "/documents/1", "bad")).status, 422);
    t.same(told(await create(1, "1")), first, "a change that the upstream refused is none");

    t.equal((await ask(url(0), "PUT", "/documents/1", "final")).status, 200);
    const stale = await create(1, "1");
    t.match([stale.status, stale.json()["code"]], [409, "stale"]);
    const original = {
      method: "POST",
      target: "/documents",
      status: 201,
      location: "/documents/1",
    };
    t.match(stale.json()["original"], original);
    t.same([...service.documents.values()], ["final", "draft", "draft"]);
    t.same(told(await create(1, "2")), [201, "execution 2", "true"], "another one is as it was");

    t.equal((await ask(url(1), "DELETE", "/documents/2")).status, 200);
    t.equal((await create(0, "2")).json()["code"], "stale", "a deletion is a change");
    t.equal(service.executed.length, 6);

    // A change that overlaps the creation, and that the upstream makes after it.
    const release = service.hold("/documents/4");
    const change = ask(url(0), "PUT", "/documents/4", "final");
    await upstream.arrived(7);
    t.equal((await create(1, "4")).status, 201);
    release();
    t.equal((await change).status, 200);
    t.equal((await create(0, "4")).json()["code"], "stale");
    t.equal(service.documents.get("/documents/4"), "final");
    t.equal(service.executed.length, 8);
  },
);

/** The example as it says itself: `replay.status` left out. */
function withoutStatuses(): Readonly<Record<string, unknown>> {
  const routes = EXAMPLE["routes"] as readonly Readonly<Record<string, unknown>>[];
  return {
    ...EXAMPLE,
    routes: routes.map(({ replay, ...route }) =>
      route["name"] === "service" ? route : { ...route, replay },
    ),
  };
}
