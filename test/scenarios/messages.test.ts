/**
 * Messages: one user edits what another deletes. Creating, editing and removing are different permissions, and the
 * upstream's PUT would create: an edit must not become a creation. And a light switch, whose toggling needs a key.
 */
import type { Responder } from "../support/upstream.ts";
import { call, type Answer } from "../support/client.ts";
import { exampleSettings, inEveryDeployment } from "../support/setups.ts";

/** PUT asks for the permission to edit, and upserts. Looks, thinks, and acts. */
class Board {
  readonly messages = new Map([["/messages/1", "hello"]]);
  lit = false;
  readonly asked: string[] = [];

  readonly respond: Responder = async (request, _req, res) => {
    const { method, url } = request;
    this.asked.push(`${method} ${url}`);
    const answer = (status: number, headers: Record<string, string> = {}, body = ""): void =>
      void res.writeHead(status, headers).end(body);
    if (url.startsWith("/light")) {
      this.lit = method === "POST" ? !this.lit : request.body.toString() === "on";
      return answer(200, {}, this.lit ? "on" : "off");
    }
    const who = request.all("Authorization")[0];
    if (who === undefined) return answer(401, { "WWW-Authenticate": "Member" });
    const needed: Record<string, string> = { GET: "read", PUT: "edit", DELETE: "remove" };
    if (!who.includes(needed[method] ?? "")) return answer(403, {}, `${who} may not`);
    const had = this.messages.get(url);
    await new Promise((resolve) => setImmediate(resolve));
    if (method === "PUT") {
      this.messages.set(url, request.body.toString());
      return answer(had === undefined ? 201 : 200, {}, request.body.toString());
    }
    if (had === undefined) return answer(404);
    if (method === "GET") return answer(200, {}, had);
    this.messages.delete(url);
    return answer(204);
  };

  count(start: string): number {
    return this.asked.filter((line) => line.startsWith(start)).length;
  }
}

let board = new Board();
const newBoard = (): Responder => {
  board = new Board();
  return board.respond;
};

const EDITOR = "read edit";
const REMOVER = "read remove";

interface Sending {
  readonly who?: string;
  readonly key?: string;
  readonly body?: string;
}

const send = (method: string, url: string, { who, key, body = "" }: Sending): Promise<Answer> =>
  call(url, {
    method,
    body,
    headers: {
      ...(who !== undefined && { Authorization: who }),
      ...(key !== undefined && { "Idempotency-Key": key }),
    },
  });

await inEveryDeployment(
  "PUT changes what is there; it neither creates nor brings back, whoever has removed it",
  exampleSettings("messages"),
  newBoard,
  async (t, { url }) => {
    const edit = { who: EDITOR, body: "edited", key: "k1" };
    t.equal((await send("PUT", `${url(0)}/messages/1`, edit)).status, 200);
    for (const n of [0, 1]) {
      const never = await send("PUT", `${url(n)}/messages/9`, { ...edit, key: "k2" });
      t.match([never.status, never.json()["code"]], [404, "not-found"]);
    }
    board.messages.set("/messages/9", "posted meanwhile");
    const now = await send("PUT", `${url(1)}/messages/9`, { ...edit, key: "k2" });
    t.equal(now.status, 200, "a refusal is not recorded");

    t.equal((await send("DELETE", `${url(0)}/messages/1`, { who: REMOVER })).status, 204);
    const back = await send("PUT", `${url(1)}/messages/1`, { who: EDITOR, body: "back" });
    t.match([back.status, back.json()["code"]], [410, "gone"]);

    // Removed behind the gateway's back.
    board.messages.delete("/messages/9");
    const unseen = await send("PUT", `${url(0)}/messages/9`, { who: EDITOR, body: "back" });
    t.match([unseen.status, unseen.json()["code"]], [404, "not-found"]);
    t.same([board.count("PUT"), board.count("DELETE"), board.messages.size], [2, 1, 0]);
  },
);

await inEveryDeployment(
  "edits and a removal at once: whoever is first, the message is gone in the end",
  exampleSettings("messages"),
  newBoard,
  async (t, { url, upstream }) => {
    const edit = { who: EDITOR, body: "edited" };
    const removal = send("DELETE", `${url(0)}/messages/1`, { who: REMOVER });
    const racing = [1, 2, 3, 4, 5, 6].map((n) => send("PUT", `${url(n)}/messages/1`, edit));
    const statuses = (await Promise.all(racing)).map(({ status }) => status);
    t.equal((await removal).status, 204);
    t.ok(statuses.every((status) => status === 200 || status === 410));
    t.equal(statuses.filter((status) => status === 200).length, board.count("PUT"));
    t.equal(board.messages.size, 0);

    // The edit is under way, its look and its PUT, when the removal comes.
    board.messages.set("/messages/2", "hello");
    const before = upstream.count();
    const gate = upstream.hold();
    const editing = send("PUT", `${url(0)}/messages/2`, edit);
    t.equal((await upstream.arrived(before + 1)).method, "GET");
    const removing = send("DELETE", `${url(1)}/messages/2`, { who: REMOVER });
    // Another message's removal comes later and gets there first: it waits for nobody.
    const other = send("DELETE", `${url(1)}/messages/3`, { who: REMOVER });
    t.equal((await upstream.arrived(before + 2)).url, "/messages/3");
    gate.release();
    t.equal((await other).status, 404);
    const ended = [(await editing).status, (await removing).status];
    t.same(ended, [200, 204]);
    const asked = board.asked.slice(before).filter((line) => line.endsWith("/messages/2"));
    t.same(asked, ["GET /messages/2", "PUT /messages/2", "DELETE /messages/2"]);
    t.equal(board.messages.size, 0);
  },
);

await inEveryDeployment(
  "who may not, is told by the upstream, and nothing is remembered or recorded of it",
  exampleSettings("messages"),
  newBoard,
  async (t, { url }) => {
    const nobody = await send("PUT", `${url(0)}/messages/1`, { body: "x", key: "k1" });
    t.same([nobody.status, nobody.header("WWW-Authenticate")], [401, "Member"]);
    t.equal(nobody.header("Idempotency-Status"), "released");
    const blind = await send("PUT", `${url(1)}/messages/1`, { who: "edit", body: "x" });
    t.same([blind.status, blind.body.toString()], [403, "edit may not"]);
    t.same(board.asked, ["GET /messages/1", "GET /messages/1"], "nothing is sent unseen");

    t.equal((await send("PUT", `${url(0)}/messages/1`, { who: REMOVER, body: "x" })).status, 403);
    t.equal((await send("DELETE", `${url(1)}/messages/1`, { who: EDITOR })).status, 403);
    t.equal((await send("PUT", `${url(0)}/messages/1`, { who: EDITOR, body: "x" })).status, 200);
    t.same([board.count("PUT"), board.messages.get("/messages/1")], [2, "x"]);
  },
);

await inEveryDeployment(
  "setting a light is idempotent without help; toggling it is by a key",
  exampleSettings("messages"),
  newBoard,
  async (t, { url }) => {
    const set = await Promise.all(
      [0, 1].map((n) => send("PUT", `${url(n)}/light`, { body: "on" })),
    );
    t.same(
      set.map(({ status, body }) => [status, body.toString()]),
      [
        [200, "on"],
        [200, "on"],
      ],
    );
    t.ok(board.lit);

    t.equal((await send("POST", `${url(0)}/light/toggle`, {})).status, 428);
    const toggle = (n: number, key: string) => send("POST", `${url(n)}/light/toggle`, { key });
    const many = await Promise.all(Array.from({ length: 10 }, (_, n) => toggle(n, "k1")));
    t.ok(many.every(({ status }) => status === 200 || status === 409));
    for (const n of [0, 1]) t.equal((await toggle(n, "k1")).body.toString(), "off");
    t.same([board.lit, board.count("POST")], [false, 1]);
    t.equal((await toggle(1, "k2")).body.toString(), "on", "another key is another toggle");
    t.same([board.lit, board.count("POST"), board.count("PUT")], [true, 2, 2]);
  },
);
