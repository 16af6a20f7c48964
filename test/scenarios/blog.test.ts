/**
 * Blog: GET, PUT and DELETE of posts that are not there. What never was is the upstream's to answer; what was deleted
 * through the gateway is remembered, so that a repeated DELETE gets the first answer.
 */
import type { Responder } from "../support/upstream.ts";
import { call, type Answer } from "../support/client.ts";
import { exampleSettings, inEveryDeployment } from "../support/setups.ts";

/** 404 for whatever is not there. Looks, thinks, and acts; only authors may delete. */
class Blog {
  readonly posts = new Map([["/posts/1", "first"]]);
  readonly asked: string[] = [];

  readonly respond: Responder = async (request, _req, res) => {
    const { method, url } = request;
    this.asked.push(`${method} ${url}`);
    const text = this.posts.get(url);
    await new Promise((resolve) => setImmediate(resolve));
    if (text === undefined) return void res.writeHead(404).end(`no post at ${url}`);
    if (method === "GET") return void res.writeHead(200).end(text);
    if (request.all("Authorization")[0] === "reader") return void res.writeHead(403).end("authors");
    if (method === "PUT") {
      this.posts.set(url, request.body.toString());
      return void res.writeHead(200).end(text);
    }
    this.posts.delete(url);
    if (request.all("Prefer")[0] !== "return=representation") return void res.writeHead(204).end();
    return void res.writeHead(200, { "Set-Cookie": "session=authors" }).end(text);
  };

  count(method: string): number {
    return this.asked.filter((line) => line.startsWith(method)).length;
  }
}

let blog = new Blog();
const newBlog = (): Responder => {
  blog = new Blog();
  return blog.respond;
};

const remove = (url: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
  call(url, { method: "DELETE", headers });

await inEveryDeployment(
  "a post that never was: the upstream's own 404 to GET, PUT and DELETE, each time",
  exampleSettings("blog"),
  newBlog,
  async (t, { url }) => {
    for (const method of ["GET", "HEAD", "PUT", "DELETE", "DELETE"]) {
      const answer = await call(`${url(blog.asked.length)}/posts/9`, { method });
      t.equal(answer.status, 404);
      if (method !== "HEAD") t.equal(answer.body.toString(), "no post at /posts/9");
    }
    const asked = ["GET", "HEAD", "PUT", "DELETE", "DELETE"].map((method) => `${method} /posts/9`);
    t.same(blog.asked, asked);
    const keyed = { "Idempotency-Key": "k1" };
    for (const n of [0, 1]) t.equal((await remove(`${url(n)}/posts/9`, keyed)).status, 404);
    t.equal(blog.count("DELETE"), 3, "with a key the 404 is recorded");
  },
);

await inEveryDeployment(
  "a repeated DELETE gets the first 204 again, with and without a key; GET still says 404",
  exampleSettings("blog"),
  newBlog,
  async (t, { url }) => {
    const headers = [{}, { "Idempotency-Key": "k1" }, { "Idempotency-Key": "k2" }, {}];
    const racing = await Promise.all(
      [...headers, ...headers].map((each, n) => remove(`${url(n)}/posts/1`, each)),
    );
    // A key's second request meets its first in flight, or its answer.
    t.ok(racing.every(({ status }) => status === 204 || status === 409));
    t.ok(racing.filter(({ status }) => status === 204).length >= 6);
    for (const [n, each] of headers.entries()) {
      const again = await remove(`${url(n)}/posts/1`, each);
      t.same([again.status, again.body.length], [204, 0]);
      if (n === 3) t.equal(again.header("Idempotent-Replayed"), "true");
    }
    t.same(blog.asked, ["DELETE /posts/1"], "the upstream has deleted once");

    t.equal((await call(`${url(1)}/posts/1`)).status, 404);
    const put = await call(`${url(0)}/posts/1`, { method: "PUT", body: "again" });
    t.match([put.status, put.json()["code"]], [404, "gone"]);
    t.same([blog.count("GET"), blog.count("PUT"), blog.posts.size], [1, 0, 0]);
  },
);

await inEveryDeployment(
  "a DELETE that is refused is not remembered; the answer's content and cookies are its caller's",
  exampleSettings("blog"),
  newBlog,
  async (t, { url }) => {
    const reader = { Authorization: "reader" };
    t.equal((await remove(`${url(0)}/posts/1`, reader)).status, 403);
    t.equal(blog.posts.size, 1);

    const author = { Authorization: "author", Prefer: "return=representation" };
    const first = await remove(`${url(1)}/posts/1`, author);
    t.same([first.status, first.body.toString()], [200, "first"]);
    t.same(first.all("Set-Cookie"), ["session=authors"]);

    const again = await remove(`${url(0)}/posts/1`, author);
    t.same([again.status, again.body.toString()], [200, "first"]);
    t.same(again.all("Set-Cookie"), []);
    const other = await remove(`${url(1)}/posts/1`, reader);
    t.same([other.status, other.body.length, other.all("Set-Cookie")], [200, 0, []]);
    t.equal(blog.count("DELETE"), 2);
  },
);
