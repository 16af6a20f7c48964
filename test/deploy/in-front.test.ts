/**
 * nginx with the snippet that is shipped, in front of a real gateway: `nginx -t` accepts it, a retry through it is
 * replayed, and it repeats nothing by itself when the gateway goes away in the middle of a call. Of Envoy's file only
 * the references are followed; Envoy is not run.
 */
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import type { Test } from "tap";
import { parse } from "yaml";
import { ROOT } from "../support/bundled.ts";
import { call } from "../support/client.ts";
import { configured, startGatewayProcess } from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/redis-server.ts";
import { startUpstream } from "../support/upstream.ts";

const SNIPPET = readFileSync(join(ROOT, "deploy/nginx/idempotency-gateway.conf"), "utf8");
// It lives in sbin, which is not on everybody's PATH.
const PATH = `${process.env["PATH"]}:/usr/sbin:/sbin`;
const run = promisify(execFile);

t.before(() => {
  execFileSync(join(ROOT, "test/support/ensure-packages.sh"), {
    stdio: ["ignore", "ignore", "inherit"],
  });
});

async function startNginx(t: Test, gateway: URL) {
  const port = await freePort();
  const dir = tempDir(t);
  const snippet = SNIPPET.replace("listen 80;", `listen 127.0.0.1:${port};`).replace(
    "server 127.0.0.1:8080;",
    `server ${gateway.host};`,
  );
  writeFileSync(join(dir, "snippet.conf"), snippet);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${dir}/${name};`,
  );
  const config = join(dir, "nginx.conf");
  writeFileSync(
    config,
    `daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log;
events { }
http { access_log off; ${temporary.join(" ")} include ${dir}/snippet.conf; }`,
  );
  const tested = await run("nginx", ["-t", "-q", "-c", config, "-e", join(dir, "error.log")], {
    env: { PATH },
  });
  t.equal(tested.stderr, "", "nginx -t has nothing against it");
  const child = spawn("nginx", ["-c", config, "-e", join(dir, "error.log")], {
    stdio: "ignore",
    env: { PATH },
  });
  const over = once(child, "exit");
  t.teardown(async () => {
    child.kill("SIGKILL");
    await over;
  });
  const url = `http://127.0.0.1:${port}`;
  await until(async () => {
    if (child.exitCode !== null) throw new Error(readFileSync(join(dir, "error.log"), "utf8"));
    return (await call(url).catch(() => undefined)) !== undefined;
  });
  return url;
}

t.test("nginx in front: a retry is replayed, and the client's address goes on", async (t) => {
  const upstream = await startUpstream(t, { answer: { status: 201, body: "made" } });
  const gateway = await startGatewayProcess(t, [
    ...["--upstream", upstream.url, "--store", `file:${tempDir(t)}`],
  ]);
  const url = await startNginx(t, new URL(gateway.url));
  const before = upstream.count();
  const charge = { method: "POST", headers: { "Idempotency-Key": "one" }, body: "1" };
  for (const word of ["executed", "replayed"]) {
    const answer = await call(`${url}/v1/charges`, charge);
    t.equal(answer.status, 201);
    t.equal(answer.header("idempotency-status"), word);
    t.equal(answer.body.toString(), "made");
  }
  t.equal(upstream.count(), before + 1);
  t.match(upstream.calls.at(-1)?.all("x-forwarded-for").join(), /^127\.0\.0\.1, ?127\.0\.0\.1$/);
});

t.test("nginx repeats nothing when the gateway dies in the middle of a call", async (t) => {
  const upstream = await startUpstream(t);
  const listen = `127.0.0.1:${await freePort()}`;
  const start = () =>
    startGatewayProcess(t, [
      ...configured(t, {
        upstream: { url: upstream.url, timeout: "2s" },
        store: { url: store, lease: "3500ms" },
      }),
      ...["--listen", listen],
    ]);
  const store = `file:${tempDir(t)}`;
  const gateway = await start();
  const url = await startNginx(t, new URL(gateway.url));
  const before = upstream.count();
  upstream.hold();
  const charge = { method: "POST", headers: { "Idempotency-Key": "one" }, body: "1" };
  const lost = call(`${url}/v1/charges`, charge);
  await upstream.arrived(before + 1);
  await gateway.end("SIGKILL");
  t.equal((await lost).status, 502, "nginx says so");
  await start();
  const retry = await call(`${url}/v1/charges`, charge);
  t.match(retry.header("idempotency-status"), /^(in-flight|outcome-unknown)$/);
  t.equal(upstream.count(), before + 1, "sent once");
});

t.test(
  "Envoy's file: the route leads to a cluster that exists, waits, and repeats nothing",
  async (t) => {
    const text = readFileSync(join(ROOT, "deploy/envoy/idempotency-gateway.yaml"), "utf8");
    const found = new Map<string, unknown[]>();
    JSON.stringify(parse(text), (name: string, value: unknown) => {
      found.set(name, [...(found.get(name) ?? []), value]);
      return value;
    });
    const [cluster] = found.get("cluster") ?? [];
    t.match(found.get("clusters")?.[0], [
      { name: cluster, load_assignment: { cluster_name: cluster } },
    ]);
    t.notOk(found.has("retry_policy") || found.has("hedge_policy"));
    const [timeout] = found.get("timeout") ?? [];
    t.ok(Number.parseInt(String(timeout), 10) > 30, "longer than upstream.timeout");
    t.same(found.get("use_remote_address"), [true]);
  },
);
