/** The command line of the built gateway: what it prints, where, and the exit code. */
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import t, { type Test } from "tap";
import { call } from "../support/client.ts";
import { configured, spawnGateway, startGatewayProcess } from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { startUpstream } from "../support/upstream.ts";

const { version } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
) as { version: string };

async function run(q: Test, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const gateway = spawnGateway(q, args, env);
  return { code: await gateway.ended, out: gateway.stdout, err: gateway.stderr };
}

/** A port that somebody else has. */
async function takenPort(q: Test): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  q.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** An upstream, which hears nothing of any of this, and a configuration. */
async function setUp(q: Test, settings: Readonly<Record<string, unknown>> = {}) {
  const upstream = await startUpstream(q);
  const args = configured(q, {
    listen: { host: "127.0.0.1", port: 0 },
    admin: { host: "127.0.0.1", port: 0 },
    upstream: { url: upstream.url },
    store: { url: `file:${tempDir(q)}` },
    ...settings,
  });
  return { upstream, args };
}

t.test("--help and --version print to standard output and exit 0", async (q) => {
  const help = await run(q, ["--help"]);
  q.same([help.code, help.err], [0, []]);
  q.match(help.out[0], /^Usage: idempotency-gateway/);
  for (const flag of ["--config", "--upstream", "--listen", "--admin", "--store", "--workers"]) {
    q.ok(
      help.out.some((line) => line.includes(flag)),
      flag,
    );
  }
  q.same(await run(q, ["--version"]), { code: 0, out: [version], err: [] });
});

t.test("--check says yes and exits 0; nothing is started", async (q) => {
  const { args, upstream } = await setUp(q);
  const { code, out, err } = await run(q, [...args, "--check"]);
  q.same([code, err], [0, []]);
  q.same(out, [`configuration is valid: ${args[1]}`]);
  q.equal(upstream.count(), 0, "upstream calls");
});

t.test("--print-config shows what is in force and hides secrets", async (q) => {
  const { args, upstream } = await setUp(q, {
    store: { url: "redis://user:hunter2@127.0.0.1:1/0" },
    admin: { host: "127.0.0.1", port: 0, token: "admin-secret-canary" },
  });
  const env = { IDEMPOTENCY_GATEWAY_LOG_LEVEL: "warn" };
  const { code, out, err } = await run(q, [...args, "--print-config", "--workers", "3"], env);
  q.same([code, err], [0, []]);
  const text = out.join("\n");
  q.match(text, /workers: 3/, "the flag");
  q.match(text, /level: warn/, "the environment");
  q.notMatch(text, /hunter2|admin-secret-canary/);
  q.equal(upstream.count(), 0, "upstream calls");
});

t.test("bad configuration: every problem on standard error, exit 2", async (q) => {
  const file = join(tempDir(q), "bad.yaml");
  writeFileSync(file, "upstream: { url: 7, timeout: 30 }\nlisten: { prot: 1 }\nworkers: 0\n");
  for (const more of [[], ["--check"], ["--workers", "2"]]) {
    const { code, out, err } = await run(q, ["--config", file, ...more]);
    q.equal(code, 2, "exit code");
    q.same(out, [], "standard output");
    const expected = ["upstream.url", "upstream.timeout", "listen.prot", "workers"];
    // The flag replaces what the file says of the workers.
    for (const path of more[0] === "--workers" ? expected.slice(0, 3) : expected) {
      q.ok(
        err.some((line) => line.includes(path)),
        path,
      );
    }
  }
  const flags = await run(q, ["--workerz", "2"]);
  q.equal(flags.code, 2);
  q.match(flags.err.join("\n"), /--workers/, "the nearest name");
  const missing = await run(q, ["--config", join(tempDir(q), "none.yaml")]);
  q.equal(missing.code, 2);
  q.match(missing.err.join("\n"), /none\.yaml/);
});

for (const workers of ["1", "2"]) {
  const many = ["--workers", workers];
  t.test(`${workers} worker(s): a port in use is one clear line and exit 1`, async (q) => {
    const { args, upstream } = await setUp(q);
    const port = await takenPort(q);
    for (const flag of ["--listen", "--admin"]) {
      const { code, err } = await run(q, [...args, ...many, flag, `127.0.0.1:${port}`]);
      q.equal(code, 1, flag);
      q.match(
        err.join("\n"),
        new RegExp(`^idempotency-gateway: cannot listen on .*${port}.*in use`),
      );
      q.equal(err.length, 1, "one line");
    }
    q.equal(upstream.count(), 0, "upstream calls");
  });

  t.test(
    `${workers} worker(s): a store that cannot be opened is one clear line and exit 1`,
    async (q) => {
      const { args, upstream } = await setUp(q);
      const file = join(tempDir(q), "regular");
      writeFileSync(file, "");
      const store = join(file, "store");
      const { code, out, err } = await run(q, [...args, ...many, "--store", `file:${store}`]);
      q.equal(code, 1);
      q.equal(err.length, 1, "one line");
      q.ok(err[0]?.includes(store), "names the directory");
      q.notOk(out.some((line) => line.includes('"listening"')));
      q.equal(upstream.count(), 0, "upstream calls");
    },
  );

  t.test(`${workers} worker(s): port 0, and the line that says where`, async (q) => {
    const { args, upstream } = await setUp(q);
    const gateway = await startGatewayProcess(q, [...args, ...many]);
    const line = await gateway.line("listening");
    q.match(line, {
      address: /^http:\/\/127\.0\.0\.1:[1-9]\d*$/,
      admin: /^http:\/\/127\.0\.0\.1:[1-9]\d*$/,
      upstream: upstream.url,
      store: /^file:/,
      workers: Number(workers),
      config: args[1],
      version,
      pid: gateway.pid,
    });
    q.equal((await call(`${gateway.admin}/livez`)).status, 200);
    q.equal((await call(`${gateway.admin}/readyz`)).status, 200);
    q.equal(await gateway.end("SIGTERM"), 0);
    q.same(gateway.stderr, []);
    q.equal(upstream.count(), 0, "upstream calls");
  });
}
