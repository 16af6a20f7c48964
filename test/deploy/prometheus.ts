/**
 * A real Prometheus by the configuration and the rules that are shipped, with a scrape each second of the gateways that it is
 * told of, and what it answers. Knows nothing of what is asked.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { ROOT } from "../support/bundled.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/redis-server.ts";
import type { Teardown } from "../support/teardown.ts";

/** One answer to an instant query. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** One series of a range query. */
export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, string])[];
}

/** In seconds since 1970, as Prometheus counts. */
export interface Range {
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

export interface Prometheus {
  query(expr: string, atSeconds?: number): Promise<readonly Sample[]>;
  queryRange(expr: string, range: Range): Promise<readonly Series[]>;
  /** The names of the alerts that fire. */
  alerts(): Promise<readonly string[]>;
}

interface Config {
  global: Readonly<Record<string, string>>;
  readonly scrape_configs: readonly { static_configs: readonly { targets: readonly string[] }[] }[];
}

const SHIPPED = join(ROOT, "deploy/prometheus");

/** `admins`: the gateways' admin ports, as URLs. */
export async function startPrometheus(t: Teardown, admins: readonly string[]): Promise<Prometheus> {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), "idempotency-gateway-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  cpSync(SHIPPED, dir, { recursive: true });
  const config = parse(readFileSync(join(SHIPPED, "prometheus.yaml"), "utf8")) as Config;
  config.global = { scrape_interval: "1s", evaluation_interval: "1s" };
  const targets = admins.map((admin) => new URL(admin).host);
  for (const job of config.scrape_configs) job.static_configs = [{ targets }];
  writeFileSync(join(dir, "prometheus.yaml"), stringify(config));
  await start(t, port, [
    `--config.file=${dir}/prometheus.yaml`,
    `--storage.tsdb.path=${dir}/data`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]);
  const api = async (path: string, parameters: Readonly<Record<string, string>> = {}) => {
    const asked = new URLSearchParams(parameters).toString();
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}?${asked}`);
    const { status, data, error } = (await answer.json()) as Record<string, unknown>;
    if (status !== "success") throw new Error(`${path} ${asked}: ${String(error)}`);
    return data;
  };
  return {
    async query(query, atSeconds) {
      const time = atSeconds === undefined ? {} : { time: String(atSeconds) };
      const data = await api("query", { query, ...time });
      return (data as { readonly result: readonly Sample[] }).result;
    },
    async queryRange(query, range) {
      const { start: from, end, step } = range;
      const when = { start: String(from), end: String(end), step: String(step) };
      const data = await api("query_range", { query, ...when });
      return (data as { readonly result: readonly Series[] }).result;
    },
    async alerts() {
      const { alerts } = (await api("alerts")) as {
        alerts: readonly { labels: Record<string, string>; state: string }[];
      };
      return alerts
        .filter(({ state }) => state === "firing")
        .map(({ labels }) => labels["alertname"] ?? "");
    },
  };
}

/** Starts it and waits until it is ready. */
async function start(t: Teardown, port: number, args: readonly string[]): Promise<void> {
  const child = spawn("prometheus", args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const over = once(child, "exit");
  t.teardown(async () => {
    child.kill("SIGKILL");
    await over;
  });
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`prometheus ended:\n${said}`);
    const answer = await fetch(`http://127.0.0.1:${port}/-/ready`).catch(() => undefined);
    return answer?.status === 200;
  });
}
