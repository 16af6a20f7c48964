/**
 * The upstreams that the corpus is tried against: the raw recorder with and without kept connections, Node's own server,
 * and nginx and haproxy in front of a recorder, which then sees what they made of the gateway's bytes. Each keeps its own
 * count of requests.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { call } from "../support/client.ts";
import { tempDir } from "../support/gateway.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/redis-server.ts";
import type { Teardown } from "../support/teardown.ts";
import { startUpstream } from "../support/upstream.ts";
import { valuesOf, type Field, type Framing } from "./reader.ts";
import { answerBody, originOf, startRecorder, type Recorder, type Seen } from "./recorder.ts";

export interface CorpusUpstream {
  readonly name: string;
  readonly port: number;
  /** Whether the requests it keeps are the gateway's bytes, and not those of a server in between. */
  readonly exact: boolean;
  /** What came from each client address, in order. */
  seen(from: string): readonly Seen[];
  /** How many requests the upstream itself says it got. */
  count(): Promise<number>;
  violations(): readonly string[];
}

export const UPSTREAMS: ReadonlyMap<string, (t: Teardown) => Promise<CorpusUpstream>> = new Map([
  ["recorder", (t) => recorder(t, "recorder", false)],
  ["recorder that closes", (t) => recorder(t, "recorder that closes", true)],
  ["Node", node],
  ["nginx", nginx],
  ["haproxy", haproxy],
]);

/** Keeps what a recorder sees, by client. */
function keep(recording: Recorder): (from: string) => readonly Seen[] {
  const byClient = new Map<string, Seen[]>();
  recording.onSeen = (seen) =>
    void byClient.set(seen.from, [...(byClient.get(seen.from) ?? []), seen]);
  return (from) => byClient.get(from) ?? [];
}

async function recorder(t: Teardown, name: string, closing: boolean): Promise<CorpusUpstream> {
  const recording = await startRecorder(t, { closing });
  return {
    name,
    port: recording.port,
    exact: true,
    seen: keep(recording),
    count: () => Promise.resolve(recording.count),
    violations: () => recording.violations,
  };
}

async function node(t: Teardown): Promise<CorpusUpstream> {
  const byClient = new Map<string, Seen[]>();
  const upstream = await startUpstream(t, {
    respond: ({ method, url, rawHeaders, body }, { httpVersion }, res) => {
      const fields = pairs(rawHeaders);
      const from = originOf(fields);
      const framing = framingOf(fields);
      const seen: Seen = {
        method,
        target: url,
        version: httpVersion,
        fields,
        framing,
        body,
        whole: true,
        from,
      };
      byClient.set(from, [...(byClient.get(from) ?? []), seen]);
      res.end(answerBody(from, seen));
    },
  });
  return {
    name: "Node",
    port: upstream.port,
    exact: true,
    seen: (from) => byClient.get(from) ?? [],
    // Requests that were given up half-way are counted when their head is there, and kept by nobody.
    count: () => Promise.resolve(upstream.calls.length),
    violations: () => [],
  };
}

function pairs(raw: readonly string[]): Field[] {
  return raw.flatMap((name, at) => (at % 2 === 0 ? [[name, raw[at + 1] ?? ""] as const] : []));
}

function framingOf(fields: readonly Field[]): Framing {
  if (valuesOf(fields, "transfer-encoding").length > 0) return "chunked";
  return valuesOf(fields, "content-length").length > 0 ? "length" : "none";
}

async function nginx(t: Teardown): Promise<CorpusUpstream> {
  const behind = await startRecorder(t);
  const port = await freePort();
  const dir = tempDir(t);
  const config = join(dir, "nginx.conf");
  // As lenient as it gets: what it lets through is what a desync needs.
  writeFileSync(
    config,
    `daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log;
events { worker_connections 1024; }
http {
  access_log off; underscores_in_headers on; ignore_invalid_headers off; large_client_header_buffers 8 32k;
  client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi; scgi_temp_path ${dir}/scgi;
  server {
    listen 127.0.0.1:${port}; merge_slashes off; keepalive_requests 1000000;
    location = /the-count { stub_status; }
    location / { proxy_pass http://127.0.0.1:${behind.port}; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`,
  );
  await run(t, "nginx", ["-c", config, "-p", dir, "-e", join(dir, "error.log")], port);
  let questions = 0;
  return {
    name: "nginx",
    port,
    exact: false,
    seen: keep(behind),
    count: async () => {
      // The questions are counted, too.
      questions += 1;
      const answer = await call(`http://127.0.0.1:${port}/the-count`);
      return Number(/\d+ \d+ (\d+)/.exec(answer.body.toString())?.[1]) - questions;
    },
    violations: () => behind.violations,
  };
}

async function haproxy(t: Teardown): Promise<CorpusUpstream> {
  const behind = await startRecorder(t);
  const [port, statsPort] = [await freePort(), await freePort()];
  const dir = tempDir(t);
  const config = join(dir, "haproxy.cfg");
  writeFileSync(
    config,
    `global
  maxconn 2000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option accept-invalid-http-request
frontend corpus
  bind 127.0.0.1:${port}
  default_backend recorder
backend recorder
  server recorder 127.0.0.1:${behind.port}
frontend count
  bind 127.0.0.1:${statsPort}
  stats enable
  stats uri /
`,
  );
  await run(t, "haproxy", ["-db", "-f", config], port);
  return {
    name: "haproxy",
    port,
    exact: false,
    seen: keep(behind),
    count: async () => {
      const answer = await call(`http://127.0.0.1:${statsPort}/;csv`);
      const [names = "", ...lines] = answer.body.toString().split("\n");
      const line = lines.find((text) => text.startsWith("corpus,FRONTEND,"));
      return Number(line?.split(",")[names.split(",").indexOf("req_tot")]);
    },
    violations: () => behind.violations,
  };
}

/** Starts a server in the foreground and waits until it takes connections. */
async function run(
  t: Teardown,
  program: string,
  args: readonly string[],
  port: number,
): Promise<void> {
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], env: { PATH } });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  let over = false;
  const ended = once(child, "close").then(() => {
    over = true;
  });
  t.teardown(() => {
    child.kill("SIGKILL");
    return ended;
  });
  await until(async () => {
    if (over) throw new Error(`${program} ended: ${said}`);
    return accepts(port);
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

/** Both live in sbin, which is not on everybody's path. */
const PATH = `${process.env["PATH"]}:/usr/local/sbin:/usr/sbin:/sbin`;
