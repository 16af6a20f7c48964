import { connect } from "node:net";
import { once } from "node:events";
import { createServer } from "node:http";
import t from "tap";
import { createAdmin } from "../../src/admin/server.ts";
import { createDesk, IDS } from "./desk.ts";
import { createBarrier, STANDING, startPort } from "./port.ts";

t.test("livez answers whatever the store says; readyz tells the reasons", async (t) => {
  let reasons: readonly string[] = [];
  const { ask } = await startPort(t, { problems: async () => reasons });
  t.strictSame((await ask("/readyz")).json, { status: "ready" });
  reasons = ["draining", "redis: no connection"];
  const unready = await ask("/readyz");
  t.equal(unready.status, 503);
  t.strictSame(unready.json, { status: "not ready", reasons });
  const live = await ask("/livez");
  t.equal(live.status, 200);
  t.strictSame(live.json, { status: "alive" });
});

t.test("readyz answers although the store says nothing", async (t) => {
  const { ask } = await startPort(t, { problems: () => new Promise(() => undefined) });
  const answer = await ask("/readyz");
  t.equal(answer.status, 503);
  t.match(answer.json.reasons, [/did not say in time/]);
});

t.test(
  "a failure of what is behind readyz or metrics is 500, logged, and the port goes on",
  async (t) => {
    const broken = new Error("secret");
    const { ask, failures } = await startPort(t, {
      problems: () => Promise.reject(broken),
      exposition: () => {
        throw broken;
      },
    });
    for (const path of ["/readyz", "/metrics"]) {
      const answer = await ask(path);
      t.equal(answer.status, 500);
      t.equal(answer.json.code, "internal-error");
      t.notMatch(answer.body, "secret");
    }
    t.strictSame(failures, [
      ["the admin port failed", broken],
      ["the admin port failed", broken],
    ]);
    t.equal((await ask("/livez")).status, 200);
  },
);

t.test("metrics come with the exposition's own content type", async (t) => {
  const { ask } = await startPort(t);
  const { status, headers, body } = await ask("/metrics");
  t.strictSame([status, body], [200, "up 1\n"]);
  t.match(headers, {
    "content-type": "text/plain; version=0.0.4",
    "content-length": "5",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
});

t.test("a scrape is told what readyz would say, also where readyz fails", async (t) => {
  const broken = new Error("secret");
  const { ask, failures } = await startPort(t, {
    problems: async () => {
      problems += 1;
      if (problems > 2) throw broken;
      return problems === 1 ? [] : ["draining"];
    },
    exposition: async (ready) => ({ contentType: "text/plain", body: String(await ready()) }),
  });
  let problems = 0;
  const told = [await ask("/metrics"), await ask("/metrics"), await ask("/metrics")];
  t.same(
    told.map(({ status, body }) => [status, body]),
    [
      [200, "true"],
      [200, "false"],
      [200, "false"],
    ],
  );
  t.equal(problems, 3, "asked once for each scrape");
  t.same(failures, [["the admin port failed", broken]]);
});

t.test("HEAD answers as GET does, without the body", async (t) => {
  const { ask } = await startPort(t);
  for (const path of [
    "/livez",
    "/readyz",
    "/metrics",
    "/v1/records",
    `/v1/records/${IDS.unknown}`,
  ]) {
    const [get, head] = [await ask(path), await ask(path, { method: "HEAD" })];
    t.strictSame([head.status, head.body], [200, ""], path);
    t.equal(head.headers["content-length"], String(Buffer.byteLength(get.body)), path);
    t.equal(head.headers["content-type"], get.headers["content-type"], path);
  }
});

t.test("another method is 405 and says which are allowed, and nothing changes", async (t) => {
  const { ask, desk, audits } = await startPort(t);
  const allowed = new Map([
    ["/livez", "GET, HEAD"],
    ["/readyz", "GET, HEAD"],
    ["/metrics", "GET, HEAD"],
    ["/v1/records", "GET, HEAD"],
    [`/v1/records/${IDS.unknown}`, "GET, HEAD, DELETE"],
    [`/v1/records/${IDS.unknown}/resolve`, "POST"],
  ]);
  for (const [path, allow] of allowed) {
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
      if (allow.split(", ").includes(method)) continue;
      const answer = await ask(path, { method });
      t.equal(answer.status, 405, `${method} ${path}`);
      t.equal(answer.headers.allow, allow);
      t.match(answer.json, { code: "method-not-allowed", detail: allow });
    }
  }
  t.strictSame([desk.asked, audits], [[], []]);
});

t.test("what is not here is 404 and says what is", async (t) => {
  const { ask } = await startPort(t);
  const paths = [
    "/v1",
    "/console/x",
    "/console/../livez",
    "/console/index.html",
    "/v1/records/",
    "/livez/",
    "//livez",
    "/v2/records",
    "/%6civez",
  ];
  const deep = [`/v1/records/${IDS.unknown}/forget`, `/v1/records/${IDS.unknown}/resolve/x`];
  for (const path of [...paths, ...deep]) {
    const answer = await ask(path);
    t.equal(answer.status, 404, path);
    t.match(answer.json, { code: "not-found", detail: "/v1/records" });
  }
});

t.test("a target that is no path is refused", async (t) => {
  const { raw } = await startPort(t);
  const absolute = await raw(
    "GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
  );
  t.match(absolute, /^HTTP\/1\.1 400 .*"code":"request-invalid"/s);
});

t.test("bytes that are no HTTP are refused, and the port goes on", async (t) => {
  const { raw, ask } = await startPort(t);
  t.match(await raw("\u0016\u0003\u0001 hello\r\n\r\n"), /^HTTP\/1\.1 400 /);
  t.match(await raw(`GET /livez HTTP/1.1\r\nX: ${"x".repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  t.match(await raw("GET /livez HTTP/1.1\r\n\r\n"), /^HTTP\/1\.1 400 /, "no Host");
  t.equal((await ask("/livez")).status, 200);
});

t.test("a client that leaves in the middle of its body changes nothing", async (t) => {
  const { host, port, ask, desk, failures } = await startPort(t);
  const socket = connect(port, host);
  await once(socket, "connect");
  socket.write(
    `POST /v1/records/${IDS.unknown}/resolve HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n`,
  );
  // The interim answer says that the port is reading the body.
  await once(socket, "data");
  socket.resetAndDestroy();
  await once(socket, "close");
  t.equal((await ask("/livez")).status, 200);
  t.strictSame([desk.asked, failures], [[], []]);
});

t.test("a port that is taken: start rejects with the system's error", async (t) => {
  const other = createServer();
  other.listen(0, "127.0.0.1");
  await once(other, "listening");
  t.teardown(() => other.close());
  const address = other.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  await t.rejects(startPort(t, { port }), { code: "EADDRINUSE" });
});

t.test(
  "stop lets a running answer finish, takes nothing new, and ends idle connections",
  async (t) => {
    const arrived = createBarrier();
    const release = createBarrier();
    const { host, port, ask, stop } = await startPort(t, {
      exposition: async () => {
        arrived.open();
        await release.passed;
        return { contentType: "text/plain", body: "late\n" };
      },
    });
    const idle = connect(port, host);
    await once(idle, "connect");
    const running = ask("/metrics");
    await arrived.passed;
    const stopped = stop();
    await t.rejects(ask("/livez"), { code: "ECONNREFUSED" });
    release.open();
    t.equal((await running).body, "late\n");
    idle.resume();
    await Promise.all([stopped, once(idle, "close")]);
  },
);

t.test(
  "stop does not wait for an answer that never comes, nor where nothing was started",
  async (t) => {
    const arrived = createBarrier();
    const { ask, stop } = await startPort(t, {
      exposition: () => {
        arrived.open();
        return new Promise(() => undefined);
      },
    });
    const hanging = t.rejects(ask("/metrics"), { code: "ECONNRESET" });
    await arrived.passed;
    await stop();
    await hanging;
    const unstarted = createAdmin({
      host: "127.0.0.1",
      port: 0,
      token: "",
      desk: createDesk(),
      problems: async () => [],
      exposition: async () => ({ contentType: "", body: "" }),
      audit: () => t.fail("nothing was changed"),
      failure: () => t.fail("nothing failed"),
      executedRetentionMs: 1,
      ...STANDING,
    });
    await t.resolves(unstarted.stop());
  },
);
