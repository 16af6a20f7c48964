/**
 * The configuration is changed under a running gateway: what is under way keeps to what it began with, what is refused is
 * refused whole, all workers or none take it, and no key is executed twice over it.
 */
import { createHash } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import http from "node:http";
import t, { type Test } from "tap";
import { stringify } from "yaml";
import { call, type Answer, type CallOptions } from "../support/client.ts";
import {
  configured,
  spawnGateway,
  startGatewayProcess,
  type GatewayProcess,
  type Line,
} from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";
import { ask, exchangeWith } from "./store-places.ts";

interface Running extends GatewayProcess {
  /** Replaces the file, as an editor or a ConfigMap does: it is never seen half written. */
  write(settings: Line): void;
  /** The settings that it was started with, with these over them. */
  with(settings: Line): Line;
  reload(): Promise<Answer>;
  status(): Promise<Record<string, unknown>>;
  readonly args: readonly string[];
}

async function start(
  q: Test,
  upstream: TestUpstream,
  own: Line = {},
  more: readonly string[] = [],
) {
  const base = {
    upstream: { url: upstream.url },
    store: { url: `file:${tempDir(q)}`, timeout: "5s" },
  };
  const settings = { ...base, ...own };
  const args = configured(q, settings);
  const file = String(args[1]);
  const gateway = await startGatewayProcess(q, [...args, ...more]);
  return {
    ...gateway,
    args,
    write(next) {
      writeFileSync(`${file}.next`, stringify(next));
      renameSync(`${file}.next`, file);
    },
    with: (over) => ({ ...settings, ...over }),
    reload: () => call(`${gateway.admin}/v1/reload`, { method: "POST" }),
    status: async () => (await call(`${gateway.admin}/v1/config`)).json(),
  } satisfies Running;
}

function post(url: string, key: string, more: CallOptions = {}): Promise<Answer> {
  const headers = { "Idempotency-Key": key };
  return call(url, { method: "POST", headers, body: "amount=100", ...more });
}

const told = (answer: Answer) => [answer.status, answer.header("idempotency-status")];

async function metric({ admin }: GatewayProcess, line: string): Promise<number> {
  const { body } = await call(`${admin}/metrics`);
  const found = String(body).split("\n").find((each) => each.startsWith(`${line} `)); // prettier-ignore
  return Number(found?.slice(line.length + 1));
}

t.test(
  "what is under way ends as it began; what begins later follows the new policy",
  async (q) => {
    const upstream = await startUpstream(q, {
      answer: { status: 201, headers: ["X-Trace", "abc"] },
    });
    const old = { replay: { dropHeaders: ["X-Trace"] } };
    const gateway = await start(q, upstream, {
      defaults: old,
      upstream: { url: upstream.url, timeout: "60s" },
    });
    const gate = upstream.hold();
    const first = post(gateway.url, "begun-before");
    await upstream.arrived(1);

    gateway.write(
      gateway.with({
        defaults: { profile: "ietf" },
        upstream: { url: upstream.url, timeout: "5s" },
      }),
    );
    const { result, changed, digest } = (await gateway.reload()).json();
    q.same([result, changed], ["applied", ["upstream.timeout", "store.lease", "defaults"]]);
    const shown = (await call(`${gateway.admin}/v1/routes`)).body.toString();
    q.match(shown, '"profile":"ietf"', "the console shows what is in force");
    // The claim lives on under the lease that it was taken with, although a new one would be much shorter.
    const busy = await post(gateway.url, "begun-before");
    q.same(told(busy), [409, "in-flight"]);
    const reused = await post(gateway.url, "begun-before", { body: "amount=1" });
    q.same(told(reused), [422, "key-reused"], "the status of the new profile");
    gate.release();
    q.same(told(await first), [201, "executed"]);
    await post(gateway.url, "begun-after");
    const replays = await Promise.all(
      ["begun-before", "begun-after"].map((key) => post(gateway.url, key)),
    );
    q.same(replays.map(told), [[201, "replayed"], [201, "replayed"]]); // prettier-ignore
    q.same(replays.map((answer) => answer.header("x-trace")), [undefined, "abc"]); // prettier-ignore
    q.equal(upstream.count(), 2, "upstream calls");

    const printed = spawnGateway(q, ["--print-config", ...gateway.args, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]); // prettier-ignore
    await printed.ended;
    const text = printed.stdout.map((line) => `${line}\n`).join("");
    q.equal(
      digest,
      createHash("sha256").update(text).digest("hex").slice(0, 16),
      "of --print-config",
    );
    q.equal(
      await metric(gateway, `idempotency_gateway_config_info{digest="${String(digest)}"}`),
      1,
    );
  },
);

t.test(
  "what the listener refuses follows: a key in another field is one as soon as a route reads it",
  async (q) => {
    const upstream = await startUpstream(q);
    const route = { name: "other", match: { path: "/other" } };
    const gateway = await start(q, upstream, { routes: [{ ...route, mode: "off" }] });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    q.teardown(() => agent.destroy());
    const twice = () =>
      call(`${gateway.url}/other`, { method: "POST", headers: { "X-Key": ["a", "b"] }, agent });
    q.equal((await twice()).status, 200);
    gateway.write(gateway.with({ routes: [{ ...route, key: { name: "X-Key" } }] }));
    q.equal((await gateway.reload()).status, 200);
    q.same(told(await twice()), [400, "key-invalid"], "on the same connection");
    q.equal(upstream.count(), 1, "upstream calls");
  },
);

t.test(
  "another upstream: calls and streams under way stay with theirs, nothing is cut or repeated",
  async (q) => {
    const blue = await startUpstream(q, { answer: { status: 201, body: "blue" } });
    const green = await startUpstream(q, { answer: { status: 201, body: "green" } });
    const gateway = await start(q, blue);
    const large = "x".repeat(3 << 20);
    blue.respond(async (request, _req, res) => {
      res.writeHead(201, request.url === "/events" ? { "Content-Type": "text/event-stream" } : {});
      res.write(large.slice(0, 2 << 20));
      await moved;
      res.end(large.slice(2 << 20));
    });
    let move = (): void => undefined;
    const moved = new Promise<void>((resolve) => {
      move = resolve;
    });
    const streams = ["/large", "/events"].map((path, n) =>
      post(`${gateway.url}${path}`, `stream-${n}`),
    );
    const passing = call(`${gateway.url}/passing`);
    await blue.arrived(3);
    // Both streams have begun by then: their records say so.
    await ask(
      async () =>
        (await call(`${gateway.admin}/v1/records?state=completed`)).json()["records"] as unknown[],
      (records) => records.length === 2,
    );
    blue.respond(undefined);
    const gate = blue.hold();
    const first = post(gateway.url, "blue");
    await blue.arrived(4);

    gateway.write(gateway.with({ upstream: { url: green.url } }));
    q.equal((await gateway.reload()).status, 200);
    q.equal(String((await post(gateway.url, "green")).body), "green");
    q.equal(String((await call(`${gateway.url}/passing`)).body), "green");
    move();
    for (const answer of await Promise.all([...streams, passing])) {
      q.equal(answer.body.byteLength, large.length, "came whole");
    }
    gate.release();
    q.equal(String((await first).body), "blue");
    const replay = await post(gateway.url, "blue");
    q.same([String(replay.body), ...told(replay)], ["blue", 201, "replayed"]);
    q.same([blue.count(), green.count()], [4, 2], "upstream calls");
    q.equal(await gateway.end("SIGTERM"), 0);
  },
);

t.test(
  "what is refused is refused whole, and says what a start would, without secrets",
  async (q) => {
    const upstream = await startUpstream(q);
    const gateway = await start(q, upstream, { admin: { token: "first-token" } });
    const authorized = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } });
    const reload = (token = "first-token") =>
      call(`${gateway.admin}/v1/reload`, { method: "POST", ...authorized(token) });
    q.equal((await gateway.reload()).status, 401, "for those who may");
    q.equal((await call(`${gateway.admin}/v1/reload`, authorized("first-token"))).status, 405);
    await post(gateway.url, "a");

    gateway.write(gateway.with({ admin: { token: "other-token" }, log: { level: "loud" }, defaults: { mode: "off", profil: 1 } })); // prettier-ignore
    gateway.signal("SIGHUP");
    const line = await gateway.line("configuration refused; the old one stays");
    const check = spawnGateway(q, ["--check", ...gateway.args]);
    q.equal(await check.ended, 2);
    q.same(line["problems"], check.stderr, "what the start would print");
    const answer = await reload();
    q.match([answer.status, answer.header("content-type")], [422, "application/problem+json"]);
    q.match(answer.json(), { code: "configuration-invalid", problems: check.stderr });

    writeFileSync(String(gateway.args[1]), "");
    q.match((await reload()).json(), { code: "configuration-invalid", problems: [/: is empty; /] });

    const scoped = { scope: { headers: ["X-User"] } };
    gateway.write(gateway.with({ admin: { token: "other-token" }, defaults: scoped, workers: 2 }));
    const fixed = await reload();
    q.match([fixed.status, fixed.json()], [409, { code: "configuration-fixed", problems: [/: workers: .*restart/, /: defaults.scope.headers: .*executed again.*restart/] }]); // prettier-ignore
    q.same(
      told(await post(gateway.url, "a")),
      [200, "replayed"],
      "still guarded, in the same scope",
    );
    q.equal(await metric(gateway, "idempotency_gateway_config_last_reload_successful"), 0);
    q.equal(await metric(gateway, 'idempotency_gateway_config_reloads_total{result="refused"}'), 4);

    gateway.write(gateway.with({ admin: { token: "other-token" }, defaults: { mode: "off" }, log: { level: "warn" } })); // prettier-ignore
    q.equal((await reload("other-token")).status, 401, "the old token until then");
    q.match((await reload()).json(), { result: "applied", unguarded: ["default"] });
    q.equal((await reload()).status, 401);
    q.match((await reload("other-token")).json(), { result: "unchanged" });
    q.match(await gateway.line("the configuration guards less than before"), { level: "warn" });
    const [asked] = await gateway.lines(1, ({ cause }) => cause === "api");
    q.match(asked, { remote: /127\.0\.0\.1$/ }, "and from where");
    q.equal(await metric(gateway, "idempotency_gateway_config_last_reload_successful"), 1);
    await post(gateway.url, "a");
    q.equal(upstream.count(), 2, "upstream calls: guarded once, then let go as was ordered");
    q.equal(gateway.output.filter((each) => each.includes('"exchange"')).length, 2, "level warn");
    q.notMatch(gateway.output.join("\n"), /(first|other)-token/);
  },
);

t.test("a change takes all workers or none, also one that is just being replaced", async (q) => {
  const upstream = await startUpstream(q, { answer: { status: 201 } });
  const gateway = await start(q, upstream, {}, ["--workers", "2"]);
  const workers = await gateway.lines(2, ({ msg }) => msg === "worker listening");
  const [one, two] = workers.map(({ pid }) => Number(pid));
  const before = (await gateway.status())["digest"];
  const digests = async (): Promise<readonly unknown[]> =>
    ((await gateway.status())["processes"] as Line[]).map(({ digest }) => digest);

  gateway.write(gateway.with({ defaults: { profile: "ietf" } }));
  process.kill(one!, "SIGSTOP");
  const failed = await gateway.reload();
  process.kill(one!, "SIGCONT");
  q.match([failed.status, failed.json()], [503, { code: "configuration-not-taken", problems: [/^worker \d does not answer$/] }]); // prettier-ignore
  q.same(await digests(), [before, before], "none");
  q.equal(await metric(gateway, 'idempotency_gateway_config_reloads_total{result="failed"}'), 1);

  const again = await Promise.all([gateway.reload(), gateway.reload(), gateway.reload()]);
  q.match(again.map((answer) => answer.status), [200, 200, 200]); // prettier-ignore
  const { digest } = again[0].json();
  q.notSame(digest, before);
  q.same(await digests(), [digest, digest], "all");
  q.equal(await metric(gateway, `idempotency_gateway_config_info{digest="${String(digest)}"}`), 2);
  q.equal(await metric(gateway, 'idempotency_gateway_config_reloads_total{result="applied"}'), 1);

  process.kill(two!, "SIGKILL");
  await gateway.line("worker ended; starting another");
  gateway.write(gateway.with({ defaults: { profile: "stripe" } }));
  const { digest: latest } = (await gateway.reload()).json();
  await gateway.lines(3, ({ msg }) => msg === "worker listening");
  q.same(await digests(), [latest, latest], "the replacement too");
  // Enough of them that both workers are met.
  const statuses = new Set<number>();
  await post(gateway.url, "k");
  for (let n = 0; n < 20; n += 1) {
    statuses.add((await post(gateway.url, "k", { body: "other" })).status);
  }
  q.same([...statuses], [400], "key reused, as the last profile has it");
  q.equal(upstream.count(), 1, "upstream calls");
});

const CLIENTS = 8;
const CALLS_EACH = 25;

for (const workers of ["1", "2"]) {
  t.test(
    `${workers} worker(s): ten SIGHUPs in a row under load cut and repeat no call`,
    async (q) => {
      const upstream = await startUpstream(q, { answer: { status: 201 } });
      const gateway = await start(q, upstream, {}, ["--workers", workers]);
      const good = (n: number): Line =>
        gateway.with({
          // Every second one brings new connections to the upstream as well.
          upstream: { url: upstream.url, connections: 100 + (n % 2) },
          routes: [{ name: `r${n}`, match: { methods: ["POST"], path: "/charges" } }],
        });
      const agents = Array.from(
        { length: CLIENTS },
        () => new http.Agent({ keepAlive: true, maxSockets: 1 }),
      );
      q.teardown(() => agents.forEach((agent) => agent.destroy()));
      const round = (status: string) =>
        Promise.all(
          agents.map(async (agent, client) => {
            for (let n = 0; n < CALLS_EACH; n += 1) {
              const answer = await post(`${gateway.url}/charges`, `c${client}-${n}`, { agent });
              if (answer.status !== 201 || answer.header("idempotency-status") !== status) {
                throw new Error(`${told(answer).join(" ")} in place of ${status}`);
              }
            }
          }),
        );
      const executed = round("executed");
      for (let n = 0; n < 10; n += 1) {
        // Spread over the load, and each third one is bad.
        await upstream.arrived(1 + n * 20);
        gateway.write(n % 3 === 2 ? { upstream: 7 } : good(n));
        gateway.signal("SIGHUP");
      }
      await executed;
      // 9 is good again, and the last word: what waits for its turn reads the file as it is by then.
      const last = (await gateway.reload()).json();
      q.match(last, { result: /^applied|unchanged$/ });
      await round("replayed");
      q.equal(upstream.count(), CLIENTS * CALLS_EACH, "upstream calls");
      const calls = await gateway.lines(CLIENTS * CALLS_EACH, exchangeWith("executed"));
      const names = new Set(calls.map(({ route }) => route));
      q.ok(names.size > 1, `executed under ${[...names].join(", ")}`);
      const labels = (await call(`${gateway.admin}/metrics`)).body.toString();
      q.match(
        labels,
        'idempotency_gateway_requests_total{route="r9",method="POST",outcome="replayed"}',
      );
      q.equal(await gateway.end("SIGTERM"), 0);
    },
  );
}

t.test("a signal that comes early waits, and one to all processes ends none of them", async (q) => {
  const upstream = await startUpstream(q);
  const args = configured(q, {
    upstream: { url: upstream.url },
    store: { url: `file:${tempDir(q)}` },
    listen: { host: "127.0.0.1", port: 0 },
    admin: { host: "127.0.0.1", port: 0 },
    workers: 2,
  });
  const gateway = spawnGateway(q, args);
  await gateway.lines(1, ({ msg }) => msg === "worker listening");
  gateway.signal("SIGHUP");
  const { address } = await gateway.line("listening");
  const unchanged = (line: Line): boolean => line["msg"] === "configuration unchanged";
  await gateway.lines(1, unchanged);
  gateway.signalAll("SIGHUP");
  await gateway.lines(2, unchanged);
  q.equal((await post(`${String(address)}/charges`, "a")).status, 200);
  q.notMatch(gateway.output.join("\n"), "worker ended");
  q.equal(upstream.count(), 1, "upstream calls");
});
