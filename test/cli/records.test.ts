/** `idempotency-gateway records`: a gateway's records from the command line, and what is told where it cannot be. */
import t, { type Test } from "tap";
import { runRecords, type Terminal } from "../../src/cli/records.ts";
import { ago, tableOf } from "../../src/cli/table.ts";
import { call } from "../support/client.ts";
import { damageRecord } from "../support/damage.ts";
import { configured, spawnGateway } from "../support/gateway-process.ts";
import { startGateway, tempDir } from "../support/gateway.ts";
import { startUpstream } from "../support/upstream.ts";

const TOKEN = "an-operators-token";

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
  terminal: Partial<Terminal> = {},
): Promise<Said> {
  let out = "";
  let err = "";
  const code = await runRecords(words, env, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    watched: false,
    ask: undefined,
    ...terminal,
  });
  return { code, out, err };
}

/** A gateway before an upstream that answers `/v1/charges` and hangs up on everything below `/lost/`. */
async function setUp(t: Test) {
  const upstream = await startUpstream(t, {
    onHead: (req, res) => {
      if (req.url?.startsWith("/lost/")) req.socket.destroy();
      else res.writeHead(201).end("done");
    },
  });
  const dir = tempDir(t);
  const gateway = await startGateway(t, {
    upstream: { url: upstream.url },
    store: { url: `file:${dir}` },
    admin: { token: TOKEN },
    routes: [{ name: "lost", match: { methods: ["POST"], path: "/lost/*" } }],
  });
  const ask = async (path: string, key: string) => {
    const headers = { "Idempotency-Key": key };
    const answer = await call(gateway.url + path, { method: "POST", headers });
    return { status: answer.status, id: String(answer.header("idempotency-record")) };
  };
  const place = ["--admin", new URL(gateway.admin).host];
  const env = { IDEMPOTENCY_GATEWAY_ADMIN_TOKEN: TOKEN };
  const records = (words: readonly string[], terminal?: Partial<Terminal>) =>
    run([...words, ...place], env, terminal);
  return { upstream, ask, place, records, dir };
}

t.test("an unknown outcome is found, shown and resolved; then its retry executes", async (t) => {
  const { upstream, ask, records } = await setUp(t);
  const { id } = await ask("/lost/1", "a");
  await ask("/v1/charges", "b");
  t.equal(upstream.count(), 2);

  const listed = await records(["list", "--state", "unknown"]);
  t.match(listed, { code: 0, err: "" });
  const [head, line, end] = listed.out.split("\n");
  t.match(head, /^ID +STATE +ROUTE +METHOD +PATH +CREATED +MORE$/u);
  t.match(line, new RegExp(`^${id} +unknown +lost +POST +/lost/1 +\\d s ago +reset$`, "u"));
  t.equal(end, "");
  t.match(await records(["show", id]), { code: 0, out: /^state +unknown$/mu });

  const unconfirmed = await records(["resolve", id, "not-executed"]);
  t.match(unconfirmed, { code: 2, err: /next request with its key will be sent[^]*--yes/u });
  const declined = await records(["resolve", id, "not-executed"], { ask: async () => "y" });
  t.match(declined, { code: 1, err: /Nothing was changed/u });
  t.equal((await ask("/lost/1", "a")).status, 409, "still unknown");
  t.equal(upstream.count(), 2);

  const confirmed = await records(["resolve", id, "not-executed"], { ask: async () => "yes\n" });
  t.match(confirmed, { code: 0, out: "resolved\n" });
  t.equal((await ask("/lost/1", "a")).status, 502);
  t.equal(upstream.count(), 3, "sent again");
  t.match(await records(["resolve", id, "executed", "--yes", "--json"]), {
    code: 0,
    out: `{"id":"${id}","outcome":"executed"}\n`,
  });
  t.equal((await ask("/lost/1", "a")).status, 409);
  t.equal(upstream.count(), 3, "nothing is sent");
});

t.test("what is forgotten executes again; what is not there is told", async (t) => {
  const { upstream, ask, records } = await setUp(t);
  const { id } = await ask("/v1/charges", "a");
  t.match(await records(["forget", id, "--yes"]), { code: 0, out: "forgotten\n" });
  t.match(await records(["forget", id, "--yes"]), { code: 1, err: /no such record/u });
  t.match(await records(["show", id]), { code: 1, err: /no such record/u });
  await ask("/v1/charges", "a");
  t.equal(upstream.count(), 2);
  t.match(await records(["resolve", id, "executed", "--yes"]), {
    code: 1,
    err: /nothing to resolve/u,
  });
  t.equal(upstream.count(), 2);
});

t.test("lists end where they were told to, go by route, and are JSON for programs", async (t) => {
  const { upstream, ask, records } = await setUp(t);
  for (let n = 0; n < 5; n += 1) await ask("/v1/charges", `key-${n}`);
  await ask("/lost/1", "other");
  const some = await records(["list", "--limit", "2", "--json"]);
  t.equal(some.out.trimEnd().split("\n").length, 2);
  t.match(some.err, /first 2; --all/u);
  const all = await records(["list", "--all", "--json"]);
  const shown = all.out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { route: string });
  t.same([shown.length, all.err], [6, ""]);
  const lost = await records(["list", "--route", "lost"], { watched: true });
  t.equal(lost.out.split("\n").length, 3, "a heading and one record");
  t.match(lost.err, /6 records looked at, 1 found/u);
  t.match(await records(["list", "--route", "none"]), {
    code: 0,
    out: "",
    err: "No such records.\n",
  });
  t.match(await records(["list", "--state", "lost"]), { code: 1, err: /state must be one of/u });
  t.equal(upstream.count(), 6);
});

t.test("a damaged record is told and hides no other", async (t) => {
  const { upstream, ask, records, dir } = await setUp(t);
  const { id } = await ask("/v1/charges", "damaged");
  await ask("/v1/charges", "sound");
  await damageRecord(dir, id);
  const listed = await records(["list", "--state", "completed", "--json"]);
  t.match(JSON.parse(listed.out), { state: "completed", status: 201 });
  t.equal(listed.err, `${id} is damaged and cannot be read; its key gets 503.\n`);
  t.equal((await ask("/v1/charges", "damaged")).status, 503);
  t.equal(upstream.count(), 2);
});

t.test("who may not, and where nobody answers", async (t) => {
  const { place, upstream } = await setUp(t);
  t.match(await run(["list", ...place]), { code: 1, err: /ADMIN_TOKEN/u });
  const wrong = { IDEMPOTENCY_GATEWAY_ADMIN_TOKEN: "another" };
  t.match(await run(["list", ...place], wrong), { code: 1, err: /another token/u });
  t.match(await run(["list", "--admin", "127.0.0.1:1"]), {
    code: 1,
    err: /No gateway answers at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\)/u,
  });
  const other = await run(["list", "--admin", new URL(upstream.url).host]);
  t.match(other, { code: 1, err: /201 and no gateway's/u });
});

t.test("a command line that is not understood is told, and nothing is asked", async (t) => {
  const id = "0".repeat(64);
  for (const [words, problem] of [
    [["lst"], /no command/u],
    [["show", "abc"], /64 lower-case hex digits/u],
    [["resolve", id], /executed or not-executed/u],
    [["resolve", id, "perhaps"], /executed or not-executed/u],
    [["show", id, "x"], /id alone/u],
    [["forget", id, "x", "y"], /one word too many/u],
    [["list", id], /flags alone/u],
    [["list", "--limit", "0"], /whole number from 1/u],
    [["list", "--nothing"], /--nothing/u],
    [["list", "--admin", "nowhere"], /HOST:PORT/u],
  ] as const) {
    t.match(await run(words), { code: 2, out: "", err: problem }, words.join(" "));
  }
  t.match(await run([]), { code: 0, out: /^Usage: idempotency-gateway records/u });
  t.match(await run(["--help"]), { code: 0, out: /resolve ID not-executed/u });
});

t.test("nothing that came with a request is obeyed by a terminal", async (t) => {
  const path = "/\u001b[2J\u009b31m\u202e";
  const record = { id: "1", state: "completed", route: "r", method: "POST", path, status: 201 };
  const table = tableOf([{ ...record, createdAt: "2026-01-01T00:00:00Z" }], Date.UTC(2026, 0, 2));
  t.match(table, "/?[2J?31m?");
  t.notMatch(table, /[^\n\x20-\x7e]/u);
  t.same([0, 119_000, 120_000, 7_200_000, 172_800_000].map(ago), [
    "0 s ago",
    "119 s ago",
    "2 min ago",
    "2 h ago",
    "2 d ago",
  ]);
});

t.test("the built program does it, with the address of a configuration", async (t) => {
  const { upstream, ask, place } = await setUp(t);
  const { id } = await ask("/v1/charges", "a");
  const [, address = ""] = place;
  const [host, port] = address.split(":");
  const admin = { host, port: Number(port), token: TOKEN };
  const config = configured(t, { upstream: { url: upstream.url }, admin });
  const program = spawnGateway(t, ["records", "show", id, "--json", ...config]);
  t.equal(await program.ended, 0);
  t.match(JSON.parse(program.stdout.join("")), { id, state: "completed", status: 201 });
  t.equal(upstream.count(), 1);
});
